"""Many detectors on a small machine: which of them are loaded, when their networks are, and what they share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.exported import fails_when_it_runs, make_export
from tests.launched import KEY, PHOTO, Launched, eventually, launched
from tests.shipped import copy_detectors
from tritonface import ModelNotFoundError, create_model
from tritonface_server.publish import publish

CHOSEN, OTHER, SHARED = "BlazeFace", "BlazeFace-FPN-SSH", "640x640_cubic_preprocess"
RUNTIMES = {"detector": "onnxruntime", "hpi_detector": "openvino"}
GIVEN_BACK_MIB = 15


def detects(launcher: Launched, name: str) -> bool:
    with create_model(name, url=launcher.endpoints.grpc) as model:
        return bool(next(model.predict(PHOTO))["boxes"])


def loaded(launcher: Launched) -> set[str]:
    """The networks whose processes have a runtime."""
    found = set()
    for stub in launcher.stubs():
        maps = Path(f"/proc/{stub.pid}/maps").read_text()
        if any(f"/{runtime}/" in maps for runtime in RUNTIMES.values()):
            found.add(stub.model)
    return found


def pss_mib(launcher: Launched, model: str) -> float:
    (stub,) = launcher.stubs(model)
    return psutil.Process(stub.pid).memory_full_info().pss / 2**20


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A server of two detectors, of which one has a network that looks good and cannot be loaded."""
    folder = tmp_path_factory.mktemp("waiting")
    repository = copy_detectors(folder / "models", CHOSEN, OTHER)
    fails_when_it_runs(repository / f"{OTHER}_detector" / "1" / "model.onnx")
    (repository / "Gone_preprocess" / "1" / "__pycache__").mkdir(parents=True)  # as git leaves behind
    with launched(folder, repository=repository) as launcher:
        yield launcher


def test_networks_are_loaded_when_they_are_first_asked_for(waiting: Launched) -> None:
    assert waiting.status("v2/health/ready") == 200
    assert len(waiting.stubs(SHARED)) == 2 and not loaded(waiting)
    assert detects(waiting, CHOSEN)
    assert loaded(waiting) == {f"{CHOSEN}_detector"}
    at_work = pss_mib(waiting, f"{CHOSEN}_detector")
    assert detects(waiting, f"{CHOSEN}_hpi")
    assert loaded(waiting) == {f"{CHOSEN}_detector", f"{CHOSEN}_hpi_detector"}
    assert eventually(lambda: pss_mib(waiting, f"{CHOSEN}_detector") < at_work - GIVEN_BACK_MIB)
    assert detects(waiting, CHOSEN) and detects(waiting, f"{CHOSEN}_hpi")  # after their rest


def test_a_black_picture_is_no_warm_up(waiting: Launched) -> None:
    """Triton's warm-up at the start is a black picture, and is answered without the network."""
    picture = triton.InferInput("picture", [1, 64, 64, 3], "UINT8")
    picture.set_data_from_numpy(np.zeros((1, 64, 64, 3), np.uint8))
    with triton.InferenceServerClient(waiting.endpoints.grpc) as client:
        assert client.infer(f"{OTHER}_hpi_detector", [picture]).as_numpy("boxes").shape[1] > 100


def test_a_network_that_cannot_be_loaded_fails_its_own_requests(waiting: Launched) -> None:
    image = triton.InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[PHOTO.read_bytes()]], object))
    with triton.InferenceServerClient(waiting.endpoints.grpc) as client:
        for _ in range(2):
            with pytest.raises(InferenceServerException, match="the network cannot be loaded: ") as failure:
                client.infer(OTHER, [image])
            assert failure.value.status() == "StatusCode.INTERNAL"
    assert detects(waiting, f"{OTHER}_hpi") and detects(waiting, CHOSEN)


@pytest.fixture
def choosing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launched]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where it is found by whoever publishes
    with launched(
        tmp_path, f"--detectors={CHOSEN}", "--watch", repository=copy_detectors(tmp_path / "models", CHOSEN, OTHER)
    ) as launcher:
        yield launcher


def test_chosen_detectors_alone_are_served_and_what_is_published_meanwhile(choosing: Launched, tmp_path: Path) -> None:
    own = {SHARED, *(f"{CHOSEN}_{step}" for step in ("postprocess", *RUNTIMES))}
    assert {stub.model for stub in choosing.stubs()} == own
    assert loaded(choosing) == {f"{CHOSEN}_detector", f"{CHOSEN}_hpi_detector"}
    assert choosing.status("v2/health/ready") == 200 and detects(choosing, CHOSEN)
    with pytest.raises(ModelNotFoundError):
        detects(choosing, OTHER)
    health = [sys.executable, "-m", "tritonface", "health", "--url", choosing.endpoints.grpc]
    run = subprocess.run(health, env={**os.environ, "TRITONFACE_KEY": KEY}, capture_output=True, text=True)
    assert run.returncode == 0 and OTHER not in run.stdout and CHOSEN in run.stdout

    for stub in choosing.stubs(SHARED):
        os.kill(stub.pid, signal.SIGKILL)
    choosing.wait_for(f"{SHARED} is back")
    assert eventually(lambda: choosing.status("v2/health/ready") == 200) and detects(choosing, CHOSEN)
    assert {stub.model for stub in choosing.stubs()} == own

    publish(make_export(tmp_path / "exported"), "mine", tmp_path / "models")
    assert detects(choosing, "mine")
    os.kill(choosing.server_pid, signal.SIGKILL)
    choosing.wait_for("ready: gRPC")
    assert detects(choosing, CHOSEN) and detects(choosing, "mine")
    with pytest.raises(ModelNotFoundError):
        detects(choosing, OTHER)
