"""Hostile clients, straight to the server: a result or a refusal, no growth, no insides told, neighbours unharmed."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import pytest
from tritonclient.grpc import service_pb2

from tests.functional.L0_hostile import requests
from tests.functional.L0_hostile.wire import Answer, Request, Tensor, call_grpc, call_http, over_grpc, over_http
from tritonface import create_model
from tritonface_server.server import TritonServer

SEND = {"grpc": over_grpc, "http": over_http}
INFER = "/v2/models/BlazeFace/infer"
MAX_GROWTH_BYTES = 200_000_000
REFUSED = {"INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "400", "404", "405"}
LATE = {"UNAVAILABLE", "503"}  # a timeout that is over
UNREADABLE_JSON = re.compile(r'\{"error":"([Uu]nable|failed) to parse ')
"""Triton 2.51 answers 500 to these, and 400 to other wrong requests."""
INSIDES = re.compile(r"Traceback|shm_region|\.py\b|/(tmp|home|root|usr|opt|work|dev)/|site-packages|0x[0-9a-f]{8}")
MAX_MESSAGE_LENGTH = 4000  # names that were sent come back


@contextmanager
def unharmed(server: TritonServer, solvay: Path) -> Iterator[None]:
    """A neighbour gets all its results meanwhile, and afterwards no process has more memory."""
    found: list[int] = []
    over = threading.Event()

    def neighbour() -> None:
        while not over.wait(0.1):
            (result,) = model.predict(solvay, on_error="yield")
            found.append(-1 if result.error else len(result))

    with create_model("BlazeFace", url=server.endpoints.grpc) as model:
        expected = len(next(model.predict(solvay)))
        before_bytes = memory_bytes(server)
        thread = threading.Thread(target=neighbour)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        assert set(found) <= {expected} and expected > 10, found
        assert len(next(model.predict(solvay))) == expected
    assert memory_bytes(server) - before_bytes < MAX_GROWTH_BYTES
    assert call_http(server, "/v2/health/ready", method="GET").status == "OK"


def memory_bytes(server: TritonServer) -> int:
    """What the server's processes have, what they share counted once."""
    first = psutil.Process(server.process.pid)
    return sum(process.memory_full_info().pss for process in [first, *first.children(recursive=True)])


def fault(answer: Answer) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if answer.status == "500" and UNREADABLE_JSON.match(answer.message):
        return ""
    if answer.status not in {"OK", *REFUSED} and not (answer.status in LATE and "timeout" in answer.message):
        return f"{answer.status}: {answer.message[:300]}"
    if INSIDES.search(answer.message) or len(answer.message) > MAX_MESSAGE_LENGTH:
        return f"tells {answer.message[:300]!r}"
    return ""


@pytest.mark.parametrize("group", requests.GROUPS, ids=lambda group: group.__name__)
@pytest.mark.parametrize("protocol", SEND)
def test_requests(server: TritonServer, solvay: Path, protocol: str, group: Callable[[], Iterator[Request]]) -> None:
    with unharmed(server, solvay):
        answers = {request.what: SEND[protocol](server, request) for request in group()}
    assert len(answers) > 10
    assert {what: fault(answer) for what, answer in answers.items() if fault(answer)} == {}
    taken = {what for what, answer in answers.items() if answer.status == "OK"}
    assert not taken & requests.NEVER_TAKEN and taken >= requests.TAKEN & set(answers)


@pytest.mark.parametrize("protocol", SEND)
def test_an_image_shorter_than_it_says_fails_alone(server: TritonServer, protocol: str) -> None:
    """Triton's Python backend sees it when it hands requests over, and fails all that it hands over with it."""
    data = requests.GOOD.data
    sent = [
        Request("good", (requests.GOOD,)),
        Request("short", (Tensor("image", "BYTES", (1, 1), b"\xff\xff\xff\xff" + data[4:]),)),
    ] * 40
    with ThreadPoolExecutor(8) as pool:
        answers = Counter(
            (request.what, answer.status)
            for request, answer in zip(sent, pool.map(lambda request: SEND[protocol](server, request), sent))
        )
    refused = {"grpc": "INVALID_ARGUMENT", "http": "400"}[protocol]
    assert answers == {("good", "OK"): 40, ("short", refused): 40}


BODIES = {
    "no JSON": b"{",
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "deep lists": b"[" * 10_000,
    "a number that is none": b'{"inputs":[{"name":"threshold","shape":[1,1],"datatype":"FP32","data":[NaN]}]}',
    "an infinite number": b'{"inputs":[{"name":"threshold","shape":[1,1],"datatype":"FP32","data":[1e400]}]}',
    "a number for text": b'{"inputs":[{"name":"image","shape":[1,1],"datatype":"BYTES","data":[1]}]}',
    "deep data": b'{"inputs":[{"name":"image","shape":[1,1],"datatype":"BYTES","data":%b"x"%b}]}'
    % (b"[" * 900, b"]" * 900),
    "bytes that are no UTF-8": b'{"inputs":[{"name":"\xff\xfe"}]}',
    "wrong types": b'{"inputs":{"name":1},"outputs":3,"id":[]}',
}
LENGTHS = ("-1", "0", "1", "abc", "999999", "18446744073709551616")
PATHS = (
    "/v2/models/../../../etc/passwd",
    "/v2/models/..%2f..%2f..%2fetc%2fpasswd/config",
    "/v2/models/BlazeFace/versions/..%2f..%2f1/config",
    "/v2/models/%00/config",
    "//etc/passwd",
    "/v2/models/" + "a" * 2000,
)


def test_bodies_and_paths_by_hand(server: TritonServer, solvay: Path) -> None:
    with unharmed(server, solvay):
        answers = {what: call_http(server, INFER, body) for what, body in BODIES.items()}
        for length in LENGTHS:
            header = {"Inference-Header-Content-Length": length}
            answers[f"length {length}"] = call_http(server, INFER, b'{"inputs":[]}', header)
        answers |= {path: call_http(server, path, method="GET") for path in PATHS}
        answers |= {method: call_http(server, INFER, b"x", method=method) for method in ("PUT", "DELETE", "TRACE")}
        answers["chunks"] = call_http(server, INFER, iter([b"{"] * 1000))
        for what, headers in {
            "a header of a megabyte": {"x": "y" * 10**6},
            "garbage for gzip": {"content-encoding": "gzip"},
        }.items():
            answers[what] = call_http(server, INFER, b"x", headers)
    assert answers.pop("a header of a megabyte").status in ("CLOSED", "400", "431")
    assert {what: fault(answer) for what, answer in answers.items() if fault(answer)} == {}
    assert "OK" not in {answer.status for answer in answers.values()}


def test_slow_and_idle_connections(server: TritonServer, solvay: Path) -> None:
    """Two hundred that say nothing, and as many whose body does not come, in chunks or not."""
    host, port = server.endpoints.http.split(":")
    heads = (
        b"",
        b"POST /v2/models/BlazeFace/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n{",
        b"POST /v2/models/BlazeFace/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    )
    with unharmed(server, solvay), ExitStack() as stack:
        for number in range(400):
            client = stack.enter_context(closing(socket.create_connection((host, int(port)), timeout=10)))
            client.sendall(heads[0 if number % 2 else 1 + number // 2 % 2])
        time.sleep(0.5)
        assert call_http(server, "/v2/health/ready", method="GET").status == "OK"


def test_shared_memory_of_others(server: TritonServer, solvay: Path) -> None:
    """Nobody maps what the processes of the models share, or a file elsewhere, by whatever name."""
    own = sorted(path.name for path in Path("/dev/shm").iterdir() if "triton" in path.name)
    keys = [*own[:2], "../../etc/passwd", "/../etc/passwd", "nobody's", "", "x" * 5000]
    taken = []
    with unharmed(server, solvay):
        for key in keys:
            message = service_pb2.SystemSharedMemoryRegisterRequest(name="foreign", key=key, byte_size=64)
            body = f'{{"key": "{key}", "offset": 0, "byte_size": 64}}'
            path = "/v2/systemsharedmemory/region/foreign"
            for answer in (
                call_grpc(server, "SystemSharedMemoryRegister", message),
                call_http(server, f"{path}/register", body),
            ):
                if answer.status == "OK":
                    taken.append(key)
                    call_http(server, f"{path}/unregister", b"")
                assert not INSIDES.search(answer.message.replace(key, "")), answer
    assert own and not taken
