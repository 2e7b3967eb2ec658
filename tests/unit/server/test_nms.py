from __future__ import annotations

import numpy as np
import pytest

from tests.reference import nms_class_by_class, nms_one_by_one
from tritonface_server.detector import NmsSettings
from tritonface_server.nms import nms, nms_per_class

SETTINGS = NmsSettings(score_threshold=0.01, iou_threshold=0.3, top_k=5000, keep_top_k=750)


def boxes_at(rng: np.random.Generator, count: int, spread_px: float) -> np.ndarray:
    corners = rng.uniform(0, spread_px, (count, 2))
    return np.hstack([corners, corners + rng.uniform(5, 60, (count, 2))]).astype(np.float32)


def test_no_boxes() -> None:
    assert nms(np.empty((0, 4), np.float32), np.empty(0, np.float32), SETTINGS).tolist() == []


def test_the_score_threshold_is_strict() -> None:
    boxes = np.array([[0, 0, 1, 1], [5, 5, 6, 6]], np.float32)
    assert nms(boxes, np.array([0.01, 0.02], np.float32), SETTINGS).tolist() == [1]


@pytest.mark.parametrize(
    ("other", "survives"),
    [
        ([0, 0, 10, 10], False),  # the same box
        ([0, 0, 10, 3], True),  # IoU exactly at the threshold: suppression is strict
        ([0, 0, 10, 3.01], False),
        ([10, 0, 20, 10], True),  # touching
        ([3, 3, 3, 3], True),  # empty
        ([8, 8, 2, 2], True),  # upside down
    ],
)
def test_suppression(other: list[float], survives: bool) -> None:
    boxes = np.array([[0, 0, 10, 10], other], np.float32)
    kept = nms(boxes, np.array([0.9, 0.8], np.float32), SETTINGS)
    assert kept.tolist() == ([0, 1] if survives else [0])


def test_a_suppressed_box_suppresses_nobody() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]], np.float32)
    assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), SETTINGS).tolist() == [0, 2]


def test_equal_scores_keep_their_order() -> None:
    boxes = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(200)], np.float32)
    assert nms(boxes, np.full(200, 0.5, np.float32), SETTINGS).tolist() == list(range(200))


@pytest.mark.parametrize("spread_px", [30, 300, 3000])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 255, 256, 257, 1000, 2000])
@pytest.mark.parametrize(("top_k", "keep_top_k"), [(5000, 750), (5000, 5000), (50, 10)])
def test_equals_the_definition(count: int, spread_px: float, top_k: int, keep_top_k: int) -> None:
    rng = np.random.default_rng(count)
    boxes = boxes_at(rng, count, spread_px)
    scores = rng.choice(np.linspace(0, 1, 40, dtype=np.float32), count)  # with ties
    settings = NmsSettings(0.01, 0.3, top_k, keep_top_k)
    assert nms(boxes, scores, settings).tolist() == nms_one_by_one(boxes, scores, settings)


@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("layout", ["identical", "empty", "some empty or upside down", "one point", "whole pixels"])
def test_equals_the_definition_for_odd_boxes(layout: str, iou_threshold: float) -> None:
    rng = np.random.default_rng(1)
    boxes = boxes_at(rng, 900, 200)
    if layout == "identical":
        boxes[:] = boxes[0]
    elif layout == "empty":
        boxes[:, 2:] = boxes[:, :2]
    elif layout == "some empty or upside down":
        boxes[::3, 2] = boxes[::3, 0]
        boxes[::5] = boxes[::5][:, [2, 3, 0, 1]]
    elif layout == "one point":
        boxes[:] = 7
    else:
        boxes = boxes.round()  # many an IoU equals the threshold or another box's
    scores = rng.permutation(np.linspace(0.02, 1, 900, dtype=np.float32))
    settings = NmsSettings(0.01, iou_threshold, 5000, 750)
    assert nms(boxes, scores, settings).tolist() == nms_one_by_one(boxes, scores, settings)


def test_boxes_that_are_not_numbers_cover_nobody() -> None:
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (600, 1))
    boxes[0] = np.nan  # the best score; the second box is the only other survivor
    assert nms(boxes, np.linspace(1, 0.5, 600, dtype=np.float32), SETTINGS).tolist() == [0, 1]


def test_a_chain_longer_than_a_block() -> None:
    boxes = np.array([[i * 5, 0, i * 5 + 10, 10] for i in range(300)], np.float32)  # each covers the next
    scores = np.linspace(1, 0.5, 300, dtype=np.float32)
    assert nms(boxes, scores, SETTINGS).tolist() == list(range(0, 300, 2))


@pytest.mark.parametrize("num_classes", [1, 3])
def test_no_boxes_of_any_class(num_classes: int) -> None:
    kept, class_ids = nms_per_class(np.empty((0, 4), np.float32), np.empty((0, num_classes), np.float32), SETTINGS)
    assert (kept.tolist(), class_ids.tolist()) == ([], [])
    kept, class_ids = nms_per_class(np.ones((5, 4), np.float32), np.zeros((5, num_classes), np.float32), SETTINGS)
    assert (kept.tolist(), class_ids.tolist(), class_ids.dtype) == ([], [], np.int32)


def test_boxes_of_other_classes_do_not_suppress() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 9]], np.float32)
    scores = np.array([[0.5, 0.0], [0.4, 0.9], [0.3, 0.2]], np.float32)
    kept, class_ids = nms_per_class(boxes, scores, SETTINGS)
    assert list(zip(kept.tolist(), class_ids.tolist())) == [(1, 1), (0, 0)]


@pytest.mark.parametrize("num_classes", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 64, 700])
@pytest.mark.parametrize(("top_k", "keep_top_k"), [(5000, 750), (50, 10), (7, 1)])
def test_classes_equal_the_definition(count: int, num_classes: int, top_k: int, keep_top_k: int) -> None:
    rng = np.random.default_rng(count)
    boxes = boxes_at(rng, count, 200)
    scores = rng.choice(np.linspace(0, 1, 40, dtype=np.float32), (count, num_classes))  # with ties
    settings = NmsSettings(0.01, 0.3, top_k, keep_top_k)
    kept, class_ids = nms_per_class(boxes, scores, settings)
    assert list(zip(class_ids.tolist(), kept.tolist())) == nms_class_by_class(boxes, scores, settings)
