"""The steps count what they do, and each request that they decline has its line in the log."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.scrape import Watch, scrape, wait_until
from tritonface_server.admission import Budget, Ledger, server_name
from tritonface_server.metrics import (
    BYTES_UNDER_WAY,
    FACES_FOUND,
    FAMILIES,
    IMAGE_REASONS,
    IMAGES_DECODED,
    IMAGES_REFUSED,
    REQUESTS_DECLINED,
    REQUESTS_UNDER_WAY,
    STAGE_RUNS,
    STAGE_SECONDS,
    STAGES,
    Series,
    series,
    series_of_model,
)
from tritonface_server.request_log import MAX_ID_CHARACTERS
from tritonface_server.server import TritonServer

NAME, PICTURES = "BlazeFace", "640x640_cubic"
NO_IMAGE = b"no image"
ROOM_BYTES = 10**12
"""More than any server has."""


@pytest.fixture(scope="module")
def settled(server: TritonServer) -> TritonServer:
    """The server, which has counted what other tests did."""
    wait_until(lambda: set(FAMILIES) <= {metric.name for metric in scrape(server)})
    Watch.of_settled(server)
    return server


@pytest.fixture
def watch(settled: TritonServer) -> Watch:
    return Watch(settled)


def counted(name: str, **labels: str) -> Series:
    """Of the detector, or of what decodes for it, which is known by the pictures that it makes."""
    is_shared = (
        name == IMAGES_REFUSED or labels.get("step") == "preprocess" or labels.get("stage") in STAGES["preprocess"]
    )
    return series(name, **({"pictures": PICTURES} if is_shared else {"detector": NAME}), **labels)


def runs(**counts: int) -> dict[Series, float]:
    """So many runs of these stages."""
    return {counted(STAGE_RUNS, stage=stage): count for stage, count in counts.items()}


def refused(reason: str = "undecodable", count: int = 1) -> dict[Series, float]:
    """Requests with one image each, which is refused."""
    return {
        **runs(wait=count, decode=count),
        counted(IMAGES_REFUSED, reason=reason): count,
        counted(REQUESTS_DECLINED, step="preprocess", reason="image"): count,
    }


def infer(
    server: TritonServer,
    *images: bytes,
    request_id: str = "",
    threshold: float = 0.5,
    strict: bool = False,
    **more: Any,
) -> triton.InferResult:
    arrays = {
        "image": np.array([[image] for image in images], object),
        "threshold": np.full((len(images), 1), threshold, np.float32),
        "strict": np.full((len(images), 1), strict),
    }
    inputs = []
    for (name, array), kind in zip(arrays.items(), ("BYTES", "FP32", "BOOL")):
        inputs.append(triton.InferInput(name, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array)
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        return client.infer(NAME, inputs, request_id=request_id, client_timeout=60, **more)


def lines_of(server: TritonServer, **facts: object) -> list[dict[str, Any]]:
    """The log's JSON lines that say this."""
    assert server.log is not None
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if facts.items() <= line.items()]


def line_of(server: TritonServer, request_id: str) -> dict[str, Any]:
    wait_until(lambda: bool(lines_of(server, id=request_id)))
    (line,) = lines_of(server, id=request_id)
    return line


def test_everything_is_there_before_anything_has_happened(server: TritonServer) -> None:
    wait_until(lambda: set(FAMILIES) <= {metric.name for metric in scrape(server)})
    own = [metric for metric in scrape(server) if metric.name.startswith("tritonface_")]
    assert set(FAMILIES) == {metric.name for metric in own}
    for model in (f"{PICTURES}_preprocess", f"{NAME}_detector", f"{NAME}_postprocess"):
        assert set(series_of_model(model)) <= set(own), model


def test_images_faces_and_stages_are_counted(watch: Watch, server: TritonServer, solvay: Path) -> None:
    before = scrape(server)
    answer = infer(server, solvay.read_bytes(), NO_IMAGE)
    faces = int(answer.as_numpy("num_detections").sum())
    assert faces > 10
    watch.expect(
        {
            **runs(wait=1, decode=2, resize=1, network=2, nms=1),  # for the network the second one is a black picture
            counted(IMAGES_DECODED): 1,
            counted(IMAGES_REFUSED, reason="undecodable"): 1,
            counted(FACES_FOUND): faces,
        }
    )
    now = scrape(server)
    stages = [counted(STAGE_SECONDS, stage=stage) for stages in STAGES.values() for stage in stages]
    assert all(0 < now[stage] - before[stage] < 60 for stage in stages)


@pytest.mark.parametrize("reason", IMAGE_REASONS)
def test_a_refused_image_is_counted_by_reason(watch: Watch, server: TritonServer, solvay: Path, reason: str) -> None:
    images = {"too_large": large_png(), "cut_off": solvay.read_bytes()[:-5_000], "undecodable": NO_IMAGE}
    with pytest.raises(InferenceServerException, match="image refused"):
        infer(server, images[reason], strict=True)
    watch.expect(refused(reason))


def test_a_wrong_request_is_counted_where_it_is_declined(watch: Watch, server: TritonServer, astronaut: Path) -> None:
    with pytest.raises(InferenceServerException, match="threshold"):
        infer(server, astronaut.read_bytes(), threshold=1.5)
    watch.expect(
        {
            **runs(wait=1, decode=1, resize=1, network=1),
            counted(IMAGES_DECODED): 1,
            counted(REQUESTS_DECLINED, step="postprocess", reason="invalid"): 1,
        }
    )


def test_what_is_under_way_is_told_and_a_busy_server_counts_it(
    watch: Watch, server: TritonServer, astronaut: Path
) -> None:
    with all_room_taken(server):
        with pytest.raises(InferenceServerException, match="the server is busy"):
            infer(server, astronaut.read_bytes(), timeout=300_000)
        wait_until(lambda: under_way(server) == (1, ROOM_BYTES), lambda: under_way(server))
    wait_until(lambda: scrape(server)[series(REQUESTS_UNDER_WAY)] == 0)
    watch.expect({counted(REQUESTS_DECLINED, step="preprocess", reason="busy"): 1})


def test_a_step_that_is_called_directly_counts_too(watch: Watch, server: TritonServer) -> None:
    picture = triton.InferInput("picture", [1, 16, 16, 3], "UINT8")
    picture.set_data_from_numpy(np.zeros((1, 16, 16, 3), np.uint8))
    with triton.InferenceServerClient(server.endpoints.grpc) as client, pytest.raises(InferenceServerException):
        client.infer(f"{NAME}_detector", [picture])
    watch.expect({counted(REQUESTS_DECLINED, step="detector", reason="invalid"): 1})


def test_a_request_whose_client_has_gone_is_counted(watch: Watch, server: TritonServer) -> None:
    pictures = triton.InferInput("picture", [32, 832, 832, 3], "UINT8")  # a second or more
    pictures.set_data_from_numpy(np.zeros((32, 832, 832, 3), np.uint8))
    begun, gone = counted(STAGE_RUNS, stage="network"), counted(REQUESTS_DECLINED, step="detector", reason="gone")
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        call = client.async_infer(f"{NAME}_detector", [pictures], lambda result, error: None)
        wait_until(lambda: begun in watch.grown())
        call.cancel()
        wait_until(lambda: gone in watch.grown())
    assert watch.grown().keys() == {begun, gone}
    assert watch.grown()[begun] < 32


def test_what_full_queues_turn_away_can_be_told(watch: Watch, server: TritonServer) -> None:
    """As rules and dashboard do it: Triton counts a failure in an ensemble twice, and as OTHER."""
    before, answers = scrape(server), []
    image = triton.InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[NO_IMAGE]], object))
    count = 60
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        with all_room_taken(server):
            for _ in range(count):
                client.async_infer(NAME, [image], lambda result, error: answers.append(str(error)))
            wait_until(lambda: len(answers) > count / 2)
        wait_until(lambda: len(answers) == count)
    turned_away = sum("Exceeds maximum queue size" in answer for answer in answers)
    assert count / 2 < turned_away < count
    watch.expect(refused(count=count - turned_away))
    failures = {reason: failed(server, reason) - failed(server, reason, before) for reason in ("OTHER", "REJECTED")}
    assert failures == {"OTHER": 2 * count, "REJECTED": 0}


def under_way(server: TritonServer) -> tuple[float, float]:
    """Requests and bytes."""
    told = scrape(server)
    return told[series(REQUESTS_UNDER_WAY)], told[series(BYTES_UNDER_WAY)]


def failed(server: TritonServer, reason: str, metrics: dict[Series, float] | None = None) -> float:
    """The failures of the ensemble that Triton has counted."""
    labels = {"model": NAME, "version": "1", "reason": reason}
    return (scrape(server) if metrics is None else metrics)[series("nv_inference_request_failure", **labels)]


@contextmanager
def all_room_taken(server: TritonServer) -> Iterator[None]:
    """Nothing is decoded meanwhile."""
    assert server.process is not None
    ledger = Ledger(server_name(server.process.pid))
    with ledger.room(ROOM_BYTES, Budget(1, ROOM_BYTES), patience_s=10) as ticket:
        yield
    ledger.give_back(ticket)
    ledger.close()


def test_a_declined_request_has_a_line_in_the_log(watch: Watch, server: TritonServer) -> None:
    request_id = f"request-{uuid.uuid4()}"
    with pytest.raises(InferenceServerException):
        infer(server, NO_IMAGE, request_id=request_id)
    line = line_of(server, request_id)
    assert line["event"] == "request_declined"
    assert (line["model"], line["reason"]) == (f"{PICTURES}_preprocess", "image")
    assert "not a JPEG, PNG, BMP or WebP image" in line["message"]
    assert line["inputs"]["image"] == {"shape": [1, 1], "bytes": len(NO_IMAGE)}
    watch.expect(refused())


@pytest.mark.parametrize("odd", ['\n{"event": "forged"}\r\n', "\x1b[2J\x07", "\u2028\U0001f600", "long" * 200])
def test_a_strangers_id_stays_inside_its_line(watch: Watch, server: TritonServer, odd: str) -> None:
    request_id = f"{uuid.uuid4()}{odd}"
    with pytest.raises(InferenceServerException):
        infer(server, NO_IMAGE, request_id=request_id)
    short = request_id if len(request_id) <= MAX_ID_CHARACTERS else request_id[: MAX_ID_CHARACTERS - 3] + "..."
    assert line_of(server, short)["event"] == "request_declined"
    assert not lines_of(server, event="forged")
    assert server.log is not None
    assert "\x1b" not in server.log.read_text()
    watch.expect(refused())


def test_an_id_that_is_no_text_is_refused_without_a_traceback(watch: Watch, server: TritonServer) -> None:
    body = b'{"id": "\xff", "inputs": [{"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": ["no image"]}]}'
    connection = HTTPConnection(server.endpoints.http, timeout=30)
    connection.request("POST", f"/v2/models/{NAME}/infer", body)
    response = connection.getresponse()
    message = response.read().decode()
    connection.close()
    assert response.status == 400
    assert "the request's id is not UTF-8" in message and "Traceback" not in message and ".py" not in message
    assert line_of(server, "(not UTF-8)")["reason"] == "invalid"
    watch.expect({counted(REQUESTS_DECLINED, step="preprocess", reason="invalid"): 1})


def test_a_flood_is_counted_not_logged(watch: Watch, server: TritonServer) -> None:
    count, flood, before = 100, str(uuid.uuid4()), left_out(server)
    image = triton.InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[NO_IMAGE]], object))
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        for _ in range(count):
            with pytest.raises(InferenceServerException):
                client.infer(NAME, [image], request_id=flood)
    watch.expect(refused(count=count))
    wait_until(lambda: len(lines_of(server, id=flood)) + left_out(server) - before == count)
    assert left_out(server) > before


def left_out(server: TritonServer) -> int:
    """How many lines the log says are not there."""
    return sum(sum(line["count"].values()) for line in lines_of(server, event="lines_left_out"))


def large_png() -> bytes:
    """The beginning of one with 100,000 pixels a side."""
    header = (100_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + len(header).to_bytes(4, "big") + b"IHDR" + header + bytes(100)
