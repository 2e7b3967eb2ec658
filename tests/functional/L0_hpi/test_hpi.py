"""The high-performance variants answer like the normal ones, within what lower precision may change."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import PHOTOS
from tests.reference import iou_with_each
from tests.shipped import SHIPPED, shipped
from tritonface import create_model
from tritonface_server.detector import Detector
from tritonface_server.server import TritonServer

LEAST_IOU = 0.85
SCORE_TOLERANCE = 0.06


@pytest.mark.parametrize("detector", [shipped(name) for name in SHIPPED], ids=SHIPPED)
def test_the_same_faces(server: TritonServer, detector: Detector) -> None:
    """Every face of one variant clearly above the threshold has its like in the other, and the other way round."""
    rows = {}
    for use_hpip in (False, True):
        with create_model(detector.name, url=server.endpoints.grpc, use_hpip=use_hpip, threshold=0.3) as model:
            rows[use_hpip] = [
                np.array([[box["score"], *box["coordinate"]] for box in result["boxes"]], np.float32)
                for result in model.predict(PHOTOS, batch_size=2)
            ]
    for normal, hpi in zip(rows[False], rows[True]):
        assert len(normal) > 0
        for these, those in ((normal, hpi), (hpi, normal)):
            for score, *box in these[these[:, 0] > 0.3 + SCORE_TOLERANCE]:
                overlaps = iou_with_each(np.array(box), those[:, 1:])
                assert overlaps.max() > LEAST_IOU
                assert abs(those[overlaps.argmax(), 0] - score) < SCORE_TOLERANCE


@pytest.mark.parametrize("img_size", [320, 640, [512, 384]])
def test_every_size(server: TritonServer, img_size: int | list[int]) -> None:
    arguments = {"url": server.endpoints.grpc, "img_size": img_size, "threshold": 0.7}
    with create_model("BlazeFace", **arguments) as normal, create_model("BlazeFace", use_hpip=True, **arguments) as hpi:
        (expected,), (result,) = (model.predict(PHOTOS / "solvay_1927.jpg") for model in (normal, hpi))
    assert abs(len(result["boxes"]) - len(expected["boxes"])) <= 1
