from __future__ import annotations

import numpy as np
import pytest

from tritonface_server.detections import Detections, check_labels, classes_of, select_detections
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
    detections = select([[-10, 600, 30, 700], [650, 0, 700, 30], [100, 650, 130, 700]], [0.8, 0.9, 0.9])
    np.testing.assert_array_equal(detections.boxes_xyxy_px, [[0, 300, 60, 320]])
    np.testing.assert_array_equal(detections.scores, np.float32([0.8]))


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 2), (0.5, 1), (0.9, 0), (1.0, 0)])
def test_the_threshold_is_strict_and_the_floor_stays(threshold: float, count: int) -> None:
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60], [90, 90, 99, 99]]
    assert len(select(boxes, [0.9, 0.4, 0.01], threshold).scores) == count


def test_classes_of_a_box_stand_side_by_side() -> None:
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60]]
    detections = select(boxes, [0.1, 0.9, 0.0, 0.8, 0.2, 0.7])  # three scores each
    assert detections.class_ids.tolist() == [1, 0, 2] and detections.class_ids.dtype == np.int32
    np.testing.assert_array_equal(detections.scores, np.float32([0.9, 0.8, 0.7]))
    np.testing.assert_array_equal(detections.boxes_xyxy_px[1], detections.boxes_xyxy_px[2])


def test_class_ids_go_with_the_boxes_that_stay() -> None:
    detections = select([[650, 0, 700, 30], [0, 0, 10, 10]], [0.9, 0.6, 0.5, 0.8])
    assert (detections.class_ids.tolist(), detections.scores.tolist()) == ([1], [pytest.approx(0.8)])


@pytest.mark.parametrize(("boxes", "scores", "classes"), [(0, 0, 1), (1, 1, 1), (3, 6, 2), (5, 500, 100)])
def test_the_number_of_classes(boxes: int, scores: int, classes: int) -> None:
    assert classes_of(boxes, scores) == classes


@pytest.mark.parametrize(("boxes", "scores"), [(0, 1), (1, 0), (2, 3), (3, 2), (5, 505)])
def test_scores_that_fit_no_number_of_classes(boxes: int, scores: int) -> None:
    with pytest.raises(ValueError, match=f"^{scores} scores an image do not fit {boxes} boxes; .* 100 at most"):
        classes_of(boxes, scores)
    with pytest.raises(ValueError, match="do not fit"):
        select([[0, 0, 1, 1]] * boxes, [0.5] * scores)


def test_labels_have_to_fit() -> None:
    check_labels(3, 6, ["mask", "no mask"])
    with pytest.raises(ValueError, match=r"tells 2 classes apart, and its labels are face \(1\); export the weights"):
        check_labels(3, 6, ["face"])
