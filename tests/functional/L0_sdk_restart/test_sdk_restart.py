"""A server that is stopped, or killed, and started again in the middle of a directory of images."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from PIL import Image

from tritonface import Connection, ServerUnavailableError, create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer, undrained

IMAGES = 200
RESTART_AFTER = 60


@pytest.fixture
def folder(tmp_path: Path, solvay: Path) -> Path:
    """Small photos, each with a width of its own, so that a result of the wrong image would be noticed."""
    photos = tmp_path / "photos"
    photos.mkdir()
    with Image.open(solvay) as image:
        crop = image.convert("RGB").crop((150, 300, 278, 428))  # one face
    for i in range(IMAGES):
        crop.resize((96 + i, 96)).save(photos / f"{i:03d}.jpg", quality=80)
    return photos


@pytest.mark.parametrize(("protocol", "sent"), [("grpc", signal.SIGTERM), ("http", signal.SIGKILL)])
def test_no_result_is_lost_or_doubled(
    folder: Path, one_detector: Path, tmp_path: Path, protocol: str, sent: signal.Signals
) -> None:
    ends = Endpoints.free()
    first = TritonServer(one_detector, ends, log=tmp_path / "first.log", cpus=1)
    first.start()
    first.wait_until_ready()
    second = TritonServer(one_detector, ends, log=tmp_path / "second.log", cpus=1)
    results = []
    patient = Connection(getattr(ends, protocol), protocol, timeout_s=120)
    try:
        with create_model("BlazeFace", img_size=320, connection=patient) as model:
            for result in model.predict(folder, batch_size=8):
                results.append(result)
                if len(results) == RESTART_AFTER:
                    os.kill(first.process.pid, sent)  # at once, with requests under way
                    first.process.wait(30)
                    first.stop()
                    second.start()  # and no waiting until it is ready: that is the client's business
    finally:
        first.stop()
        second.stop()
    assert [Path(result["input_path"]).name for result in results] == [f"{i:03d}.jpg" for i in range(IMAGES)]
    widths = [max((box["coordinate"][2] for box in result["boxes"]), default=0) for result in results]
    assert all(width <= 96 + i for i, width in enumerate(widths)) and sum(width > 0 for width in widths) > IMAGES / 2


def test_retries_end_with_the_deadline_or_their_number(one_detector: Path, tmp_path: Path, solvay: Path) -> None:
    ends = Endpoints.free()
    with undrained(TritonServer(one_detector, ends, log=tmp_path / "log", cpus=1)):
        patient = create_model("BlazeFace", connection=Connection(ends.grpc, timeout_s=2))
        hasty = create_model("BlazeFace", connection=Connection(ends.grpc, retries=0))
    with patient, pytest.raises(ServerUnavailableError, match=r"\[\d+ attempts in \d\.\d s\]") as caught:
        list(patient.predict(solvay))
    assert caught.value.request_id is not None
    with hasty, pytest.raises(ServerUnavailableError) as caught:
        list(hasty.predict(solvay))
    assert "attempts" not in str(caught.value)
