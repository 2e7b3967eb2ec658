"""Large arrays through shared memory: same results, nothing left, and no harm where the server refuses or restarts."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image

from tests.conftest import Serve
from tritonface import (
    Connection,
    DeadlineExceededError,
    DetectionResult,
    FaceDetector,
    _client,
    _shared_memory,
    create_model,
)
from tritonface_server.access import Access
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer, undrained


@pytest.fixture
def array(solvay: Path) -> np.ndarray:
    """uint8 [1080, 1920, 3] BGR."""
    with Image.open(solvay) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB").resize((1920, 1080)))[:, :, ::-1])


@pytest.fixture
def address(address: dict[str, Any], server: TritonServer) -> dict[str, Any]:
    """With the key, without which nobody maps anything."""
    return address | {"key": server.access.key}


def files() -> list[Path]:
    return list(Path("/dev/shm").glob(f"tritonface-{os.getpid()}-*"))


def regions(server: TritonServer) -> int:
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        return len(
            client.get_system_shared_memory_status(headers=server.access.grpc_headers, as_json=True).get("regions", {})
        )


def test_the_same_results_and_nothing_left(
    server: TritonServer,
    address: dict[str, Any],
    array: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy server may take longer than 2 s to map a region, and images then avoid shared memory; or to forget it.
    monkeypatch.setattr(_shared_memory, "SHORT_TIMEOUT_S", 60.0)
    monkeypatch.setattr(_client, "SHORT_TIMEOUT_S", 60.0)
    (tmp_path / "bad.jpg").write_bytes(b"bad" * 100_000)  # large, and refused
    small = array[:90, :90]
    images = [array, small, tmp_path / "bad.jpg", array[:1000], array]
    with create_model("BlazeFace", connection=Connection(**address, shared_memory=False)) as model:
        expected = [dict(result) for result in model.predict(images, on_error="yield")]
        assert regions(server) == 0
    with create_model("BlazeFace", connection=Connection(**address)) as model:
        for _ in range(3):
            found = [dict(result) for result in model.predict(images, batch_size=4, on_error="yield")]
            assert found == expected
            assert files() == []  # their names are gone as soon as the server has mapped them
        assert 1 <= regions(server) <= 4
    assert regions(server) == 0 and expected[0]["boxes"] and "error" in expected[2]


def test_a_region_given_up_is_not_written_again(
    server: TritonServer, address: dict[str, Any], array: np.ndarray
) -> None:
    with create_model("BlazeFace", connection=Connection(**address)) as model:
        run = model.predict([array] * 8, batch_size=8)
        next(run)
        run.close()
        boxes = [result["boxes"] for result in model.predict([array] * 3, batch_size=3)]
        assert boxes[0] == boxes[1] == boxes[2] != []


def wait_for_regions(server: TritonServer, most: int) -> int:
    deadline = time.monotonic() + 20
    while regions(server) > most and time.monotonic() < deadline:
        time.sleep(0.05)
    return regions(server)


@pytest.mark.fault("A18")
def test_regions_of_cancelled_requests_come_back(
    server: TritonServer, address: dict[str, Any], array: np.ndarray
) -> None:
    with create_model("BlazeFace", connection=Connection(**address)) as model:
        (expected,) = model.predict(array)
        for _ in range(10):
            run = model.predict([array] * 8, batch_size=8)
            next(run)
            run.close()
        assert wait_for_regions(server, 8) <= 8  # those that wait for the next images
        assert next(model.predict(array)) == expected
        run = model.predict([array] * 8, batch_size=8)
        next(run)  # and closed with requests under way
    assert wait_for_regions(server, 0) == 0 and files() == []
    with create_model("BlazeFace", connection=Connection(**address, shared_memory=False)) as model:
        assert next(model.predict(array)) == expected


@pytest.mark.fault("A18")
def test_one_deadline_for_all_and_late_regions_come_back(
    server: TritonServer, address: dict[str, Any], array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = Connection(**address, timeout_s=2)
    with create_model("BlazeFace", connection=hasty) as model:
        expected = predict_until_shared(model, array, server)
        monkeypatch.setattr(_shared_memory, "SHORT_TIMEOUT_S", 1.0)  # one that comes in time is kept
        server.process.send_signal(signal.SIGSTOP)
        try:
            for image in (array, np.repeat(array, 2, 1)):  # with a region that is there, with one to be registered
                started = time.monotonic()
                with pytest.raises(DeadlineExceededError):
                    next(model.predict(image))
                assert time.monotonic() - started < 3.8  # two deadlines would be 4
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert wait_for_regions(server, 0) == 0
        assert next(model.predict(array)) == expected


def predict_until_shared(model: FaceDetector, array: np.ndarray, server: TritonServer) -> DetectionResult:
    """No image waits for a region, and so the first ones travel without."""
    deadline = time.monotonic() + 20
    while True:
        (result,) = model.predict(array)
        if regions(server) or time.monotonic() >= deadline:
            assert regions(server) == 1
            return result


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_started_anew(one_detector: Path, tmp_path: Path, array: np.ndarray, protocol: str) -> None:
    ends, access = Endpoints.free(), Access(open_apis=("shared-memory",))
    url = getattr(ends, protocol)
    with undrained(TritonServer(one_detector, ends, log=tmp_path / "first", cpus=1, access=access)) as server:
        shared = Connection(url, protocol, timeout_s=60)
        model = create_model("BlazeFace", connection=shared)
        before = predict_until_shared(model, array, server)
    second = TritonServer(one_detector, ends, log=tmp_path / "second", cpus=1, access=access)
    with model, undrained(second) as server:
        assert [result["boxes"] for result in model.predict([array, array])] == [before["boxes"]] * 2
        assert predict_until_shared(model, array, server)["boxes"] == before["boxes"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_does_not_allow_it(
    serve: Serve, one_detector: Path, array: np.ndarray, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(one_detector)
    with create_model("BlazeFace", url=getattr(server.endpoints, protocol), protocol=protocol) as model:
        results = list(model.predict([array] * 4, batch_size=2))
    assert results[0]["boxes"] and all(result["boxes"] == results[0]["boxes"] for result in results)
    assert files() == [] and regions(server) == 0 and not caplog.records
