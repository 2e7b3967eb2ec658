"""Our networks against recorded outputs of the reference implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from tests.parity.golden import rule
from training.detectors import DETECTORS, build_detector, get_detector
from training.weights import set_weights
from tritonface_server.nms import nms

GOLDEN = Path(__file__).parent / "golden"
RELATIVE = 1e-3


@pytest.fixture(params=DETECTORS)
def golden(request: pytest.FixtureRequest) -> tuple[str, dict[str, np.ndarray]]:
    with np.load(GOLDEN / f"{request.param}.npz") as arrays:
        return request.param, dict(arrays)


def test_raw_boxes_and_scores(golden: tuple[str, dict[str, np.ndarray]]) -> None:
    name, expected = golden
    detector = build_detector(name)
    detector.eval()
    set_weights(detector, rule.params({key: value.shape for key, value in detector.state_dict().items()}))
    height, width = expected["input_hw"].tolist()
    with paddle.no_grad():
        boxes, scores = detector(paddle.to_tensor(rule.images(name, height, width)))
    scale_xy = expected["original_hw"][:, ::-1] / [width, height]  # the recorded boxes are in original-image pixels
    boxes = boxes.numpy() * np.tile(scale_xy, 2)[:, None]
    sizes = np.abs(expected["raw_boxes"]).max()
    np.testing.assert_allclose(boxes, expected["raw_boxes"], rtol=RELATIVE, atol=RELATIVE * 1e-3 * sizes)
    np.testing.assert_allclose(scores.numpy(), expected["raw_scores"], rtol=RELATIVE, atol=1e-7)


def test_nms_gives_the_same_rows_in_the_same_order(golden: tuple[str, dict[str, np.ndarray]]) -> None:
    name, expected = golden
    rows = np.split(expected["nms_rows"], np.cumsum(expected["nms_counts"])[:-1])
    for boxes, scores, wanted in zip(expected["raw_boxes"], expected["raw_scores"], rows):
        kept = nms(boxes, scores, get_detector(name).nms)
        np.testing.assert_array_equal(np.column_stack([scores[kept], boxes[kept]]), wanted[:, 1:])
