from __future__ import annotations

import numpy as np
import pytest

from tritonface_server.detections import Detections, select_detections
from tritonface_server.detector import NmsSettings

SETTINGS = NmsSettings(score_threshold=0.01, iou_threshold=0.3, top_k=5000, keep_top_k=750)


def select(boxes: list[list[float]], scores: list[float], threshold: float = 0.5) -> Detections:
    return select_detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        network_size_wh=(640, 640),
        original_size_wh=(1280, 320),
        threshold=threshold,
        settings=SETTINGS,
    )


def test_no_boxes() -> None:
    detections = select([], [])
    assert detections.boxes_xyxy_px.shape == (0, 4)
    assert detections.scores.shape == detections.class_ids.shape == (0,)


def test_boxes_are_scaled_to_the_original_picture() -> None:
    detections = select([[10, 20, 30, 40]], [0.9])
    np.testing.assert_array_equal(detections.boxes_xyxy_px, [[20, 10, 60, 20]])
    assert detections.boxes_xyxy_px.dtype == detections.scores.dtype == np.float32
    assert detections.class_ids.tolist() == [0]


def test_boxes_are_clipped_and_empty_ones_dropped() -> None:
    detections = select([[-10, 600, 30, 700], [650, 0, 700, 30]], [0.8, 0.9])
    np.testing.assert_array_equal(detections.boxes_xyxy_px, [[0, 300, 60, 320]])
    np.testing.assert_array_equal(detections.scores, np.float32([0.8]))


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 2), (0.5, 1), (0.9, 0), (1.0, 0)])
def test_the_threshold_is_strict_and_the_floor_stays(threshold: float, count: int) -> None:
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60], [90, 90, 99, 99]]
    assert len(select(boxes, [0.9, 0.4, 0.01], threshold).scores) == count
