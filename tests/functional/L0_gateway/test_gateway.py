"""The gateway for nginx: who has a token gets detections over both protocols, and nobody gets anything else."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.functional.L0_gateway.bad_clients import INFER, STRANGERS, last_words, too_fast
from tests.functional.L0_gateway.gateway import Gateway, running_gateway
from tritonface import ServerError, create_model
from tritonface_server.server import TritonServer


@pytest.fixture(scope="module")
def gateway(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(server, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def stub(gateway: Gateway) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    credentials = grpc.ssl_channel_credentials((gateway.files / "ca.pem").read_bytes())
    with grpc.secure_channel(gateway.address, credentials) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_sdk_with_a_token(gateway: Gateway, server: TritonServer, solvay: Path, protocol: str) -> None:
    with create_model("BlazeFace", url=server.endpoints.grpc) as model:
        (direct,) = model.predict(solvay)
    with create_model("BlazeFace", connection=gateway.connection(protocol, "alice")) as model:
        (result,) = model.predict(solvay)
    assert result["boxes"] == direct["boxes"] and result["boxes"]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer no"}, {"authorization": "alice"}], ids=str)
def test_nobody_without_a_token(
    gateway: Gateway, stub: service_pb2_grpc.GRPCInferenceServiceStub, headers: dict[str, str]
) -> None:
    for method, path in (("GET", "/v2/health/ready"), ("POST", INFER), ("GET", "/metrics"), ("GET", "/")):
        status, text = gateway.ask(method, path, headers)
        assert status == 401 and "no known token" in json.loads(text)["error"]
    for call in (stub.ServerLive, stub.ModelInfer, stub.RepositoryIndex):
        with pytest.raises(grpc.RpcError) as caught:
            call(REQUESTS[call._method.decode().rpartition("/")[2]], metadata=tuple(headers.items()), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, caught.value
        assert "no known token" in caught.value.details()


def test_nothing_is_told_without_tls(gateway: Gateway) -> None:
    host, port = gateway.address.split(":")
    with closing(socket.create_connection((host, int(port)), timeout=10)) as plain:
        plain.sendall(f"GET /v2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.tokens['bob']}\r\n\r\n".encode())
        assert b" 400 " in plain.recv(100)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_sdk_says_what_is_missing(gateway: Gateway, protocol: str) -> None:
    connection = gateway.connection(protocol, "alice")
    object.__setattr__(connection, "headers", {})
    with pytest.raises(ServerError, match=r"no known token.*or the header of a gateway as headers="):
        create_model("BlazeFace", connection=connection)


OPEN = ("/v2", "/v2/health/live", "/v2/models/BlazeFace", "/v2/models/BlazeFace/versions/1/ready")


@pytest.mark.parametrize("path", OPEN)
def test_open(gateway: Gateway, path: str) -> None:
    assert gateway.ask("GET", path, gateway.headers("bob"))[0] == 200
    assert gateway.ask("POST", path, gateway.headers("bob"), b"{}")[0] == 403


CLOSED = (
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/BlazeFace/unload"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("GET", "/v2/cudasharedmemory/status"),
    ("GET", "/v2/trace/setting"),
    ("GET", "/v2/models/BlazeFace/trace/setting"),
    ("POST", "/v2/logging"),
    ("GET", "/v2/models/stats"),
    ("GET", "/v2/models/BlazeFace/stats"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("POST", "/v2/models/640x640_cubic_preprocess/infer"),
    ("POST", "/v2/models/BlazeFace_detector/infer"),
    ("POST", "/v2/models/BlazeFace_hpi_detector/versions/1/infer"),
    ("POST", "/v2/models/BlazeFace/generate"),
    ("GET", "/v2/models/../repository/index"),
    ("GET", "/v2/models/%2e%2e/ready"),
    ("GET", "/v2/models/..%2f..%2fetc%2fpasswd/config"),
    ("GET", "/v2/models/BlazeFace/versions/../../stats"),
    ("GET", "//metrics"),
    ("GET", "/v2/models/stats/"),
    ("GET", "/v2/models/%73tats"),
)


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_closed(gateway: Gateway, method: str, path: str) -> None:
    status, text = gateway.ask(method, path, gateway.headers("bob"), b"{}" if method == "POST" else None)
    assert status == 404 and "inference of detectors only" in json.loads(text)["error"]


REQUESTS = {
    "ServerLive": service_pb2.ServerLiveRequest(),
    "ModelInfer": service_pb2.ModelInferRequest(model_name="BlazeFace"),
    "RepositoryIndex": service_pb2.RepositoryIndexRequest(),
    "RepositoryModelLoad": service_pb2.RepositoryModelLoadRequest(model_name="BlazeFace"),
    "SystemSharedMemoryStatus": service_pb2.SystemSharedMemoryStatusRequest(),
    "SystemSharedMemoryRegister": service_pb2.SystemSharedMemoryRegisterRequest(name="x", key="/x", byte_size=1),
    "CudaSharedMemoryStatus": service_pb2.CudaSharedMemoryStatusRequest(),
    "ModelStatistics": service_pb2.ModelStatisticsRequest(),
    "TraceSetting": service_pb2.TraceSettingRequest(),
    "LogSettings": service_pb2.LogSettingsRequest(),
}


@pytest.mark.parametrize("method", [name for name in REQUESTS if name not in ("ServerLive", "ModelInfer")])
def test_closed_over_grpc(gateway: Gateway, stub: service_pb2_grpc.GRPCInferenceServiceStub, method: str) -> None:
    with pytest.raises(grpc.RpcError, match="inference of detectors only") as caught:
        getattr(stub, method)(REQUESTS[method], metadata=tuple(gateway.headers("bob").items()), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_stream_is_closed(gateway: Gateway, stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
    metadata = tuple(gateway.headers("bob").items())
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.ModelStreamInfer(iter([REQUESTS["ModelInfer"]]), metadata=metadata, timeout=10))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_what_the_server_refuses_arrives(gateway: Gateway) -> None:
    body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1, 1], "data": ["no picture"]}]}
    status, text = gateway.ask("POST", INFER, gateway.headers("bob"), json.dumps(body))
    assert status == 400 and "image refused: " in json.loads(text)["error"]


def test_packed_bodies_are_not_taken(gateway: Gateway, stub: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
    """Triton would unpack this to a gigabyte; ten megabytes here."""
    headers = gateway.headers("bob") | {"content-encoding": "gzip"}
    assert gateway.ask("POST", INFER, headers, gzip.compress(bytes(10_000_000)))[0] == 415
    message = service_pb2.ModelInferRequest(model_name="BlazeFace", raw_input_contents=[bytes(10_000_000)])
    metadata = tuple(gateway.headers("bob").items())
    with pytest.raises(grpc.RpcError, match="without compression") as caught:
        stub.ModelInfer(message, metadata=metadata, compression=grpc.Compression.Gzip, timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_million_chunks_reach_triton_as_one_body(gateway: Gateway) -> None:
    """They would end it: CVE-2025-23310."""
    lines = (f"POST {INFER} HTTP/1.1", "host: x", f"authorization: Bearer {gateway.tokens['bob']}")
    head = "\r\n".join([*lines, "connection: close", "transfer-encoding: chunked", "", ""])
    with closing(gateway.socket()) as client:
        client.sendall(head.encode())
        for _ in range(100):
            client.sendall(b"1\r\n{\r\n" * 10_000)
        client.sendall(b"0\r\n\r\n")
        assert re.match(r"HTTP/1.1 [45]00 .*failed to parse the request JSON", last_words(client), re.DOTALL)
    assert gateway.ask("GET", "/v2/health/ready", gateway.headers("bob"))[0] == 200


@contextmanager
def neighbours(gateway: Gateway, solvay: Path) -> Iterator[list[int]]:
    """Two clients that go on asking, one over each protocol; the numbers of faces they got, -1 for a failure."""
    found: list[int] = []
    over = threading.Event()

    def ask(protocol: str) -> None:
        with create_model("BlazeFace", connection=gateway.connection(protocol, "alice")) as model:
            while not over.is_set():
                (result,) = model.predict(solvay, on_error="yield")
                found.append(-1 if result.error else len(result))
                over.wait(0.2)

    threads = [threading.Thread(target=ask, args=(protocol,)) for protocol in ("grpc", "http")]
    for thread in threads:
        thread.start()
    yield found
    over.set()
    for thread in threads:
        thread.join()


def test_bad_clients_are_turned_away_and_their_neighbours_do_not_notice(gateway: Gateway, solvay: Path) -> None:
    ends: dict[str, tuple[float, str]] = {}

    def run(client: Callable[[Gateway], str]) -> None:
        started = time.monotonic()
        said = client(gateway)
        ends[client.__name__] = time.monotonic() - started, said

    with neighbours(gateway, solvay) as found:
        threads = [threading.Thread(target=run, args=(client,)) for client, _ in STRANGERS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for client, expected in STRANGERS:
        seconds, said = ends[client.__name__]
        assert re.match(expected, said, re.DOTALL) and seconds < 19, (client.__name__, seconds, said)
    assert len(found) > 4 and set(found) == {found[0]} and found[0] > 10


REFUSED = re.compile(r"limiting (requests|connections).* client: 127\.0\.0\.1,.*(ModelInfer|infer) ")


def use_up_the_rate(gateway: Gateway, name: str, stopped: threading.Event) -> None:
    with closing(gateway.http()) as client:
        while not stopped.is_set():
            client.request("GET", "/v2/health/live", headers=gateway.headers(name))
            client.getresponse().read()


@pytest.mark.parametrize(("protocol", "name"), [("grpc", "dave"), ("http", "erin")])
def test_the_sdk_waits_its_turn(gateway: Gateway, solvay: Path, protocol: str, name: str) -> None:
    """Images that come while a client uses up what it may send, until some were refused."""

    def refused() -> int:
        return len(REFUSED.findall((gateway.state / "error.log").read_text()))

    before = refused()
    with (
        create_model("BlazeFace", connection=gateway.connection(protocol, name), img_size=64) as model,
        ThreadPoolExecutor() as pool,
    ):
        stopped = threading.Event()
        for _ in range(2):
            pool.submit(use_up_the_rate, gateway, name, stopped)
        assert too_fast(gateway, name).startswith("429")  # what it may send at once is used up, too
        results = pool.submit(lambda: list(model.predict([solvay] * 30, batch_size=30, on_error="yield")))
        while refused() == before and not results.done():
            time.sleep(0.01)
        stopped.set()
    assert [result["error"] for result in results.result() if result.error] == []
    assert refused() > before


def test_tokens_stay_out_of_the_log(gateway: Gateway) -> None:
    assert gateway.ask("GET", "/v2", gateway.headers("bob"))[0] == 200
    told = "".join(path.read_text() for path in gateway.state.glob("*.log"))
    assert '"bob" "GET /v2 HTTP/1.1" 200' in told
    assert not [name for name, token in gateway.tokens.items() if token in told]
