"""Our networks against recorded outputs of the reference implementation; see `recorded.py` for the precision.

Measured: boxes at most 1.2e-3 px and scores 2.7e-6 apart, a fifteenth of what is allowed.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from tests.parity.recorded import in_float64, records_of
from training.detectors import DETECTORS, get_detector
from tritonface_server.nms import nms

RELATIVE = 1e-3


@pytest.mark.fault("B10")
@pytest.mark.parametrize("name", DETECTORS)
def test_raw_boxes_and_scores(name: str) -> None:
    expected = records_of(name)
    detector, images = in_float64(name)
    detector.eval()
    with paddle.no_grad():
        boxes, scores = detector(images)
    # the recorded boxes are in original-image pixels
    scale_xy = expected["original_hw"][:, ::-1] / expected["input_hw"][::-1]
    boxes = boxes.numpy() * np.tile(scale_xy, 2)[:, None]
    sizes = np.abs(expected["raw_boxes"]).max()
    np.testing.assert_allclose(boxes, expected["raw_boxes"], rtol=RELATIVE, atol=RELATIVE * 1e-3 * sizes)
    np.testing.assert_allclose(scores.numpy(), expected["raw_scores"], rtol=RELATIVE, atol=1e-7)


@pytest.mark.parametrize("name", DETECTORS)
def test_nms_gives_the_same_rows_in_the_same_order(name: str) -> None:
    expected = records_of(name)
    rows = np.split(expected["nms_rows"], np.cumsum(expected["nms_counts"])[:-1])
    for boxes, scores, wanted in zip(expected["raw_boxes"], expected["raw_scores"], rows, strict=True):
        kept = nms(boxes, scores, get_detector(name).nms)
        np.testing.assert_array_equal(np.column_stack([scores[kept], boxes[kept]]), wanted[:, 1:])
