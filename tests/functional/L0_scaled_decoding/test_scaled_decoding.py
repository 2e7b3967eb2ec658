"""The server decodes large JPEGs at a fraction of their size, and finds the faces that it finds without, in pixels of
the full photo; smaller ones stay as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.conftest import Serve
from tests.reference import iou_with_each
from tests.shipped import network_file, shipped
from tritonface import create_model
from tritonface_server.repository import build_entry
from tritonface_server.server import TritonServer

LEAST_IOU = 0.6  # the faces are some 15 px wide in the network's input
CLEAR_SCORE, SCORE_TOLERANCE = 0.7, 0.15


@pytest.fixture(scope="module")
def whole(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> TritonServer:
    folder = tmp_path_factory.mktemp("whole")
    build_entry(replace(shipped(), scaled_decoding=False), network_file().parent, folder / "repository")
    return serve(folder / "repository")


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_same_faces(
    server: TritonServer, whole: TritonServer, solvay: Path, tmp_path: Path, orientation: int
) -> None:
    with Image.open(solvay) as photo:
        large = ImageOps.scale(photo, 4, Image.Resampling.BICUBIC)  # 3840 x 2400: decoded at 1/2
    exif = Image.Exif()
    exif[0x0112] = orientation
    (large.rotate(90, expand=True) if orientation == 6 else large).save(tmp_path / "large.jpg", quality=90, exif=exif)
    full, scaled = (found(running, tmp_path / "large.jpg") for running in (whole, server))
    assert (full[:, 0] > CLEAR_SCORE).sum() >= 15 and not np.array_equal(full, scaled)
    for these, those in ((full, scaled), (scaled, full)):
        for score, *box in these[these[:, 0] > CLEAR_SCORE]:
            overlaps = iou_with_each(np.array(box), those[:, 1:])
            assert overlaps.max() > LEAST_IOU
            assert abs(those[overlaps.argmax(), 0] - score) < SCORE_TOLERANCE


def test_usual_photos_are_the_same_to_the_last_bit(server: TritonServer, whole: TritonServer, solvay: Path) -> None:
    np.testing.assert_array_equal(found(server, solvay), found(whole, solvay))


def found(running: TritonServer, photo: Path) -> np.ndarray:
    """Scores and boxes, float32 [K, 5]."""
    with create_model("BlazeFace", url=running.endpoints.grpc, threshold=CLEAR_SCORE - SCORE_TOLERANCE) as model:
        (result,) = model.predict(photo)
    return np.array([[box["score"], *box["coordinate"]] for box in result["boxes"]], np.float32)
