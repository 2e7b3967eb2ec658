from __future__ import annotations

import numpy as np
import pytest

from tests.augment_samples import assert_sound, coloured_sample, crowd, empty_sample
from training.augment.anchor_sampling import (
    SMALLEST_FACE_PX,
    crop_around_face,
    draw_face_px,
    draw_window,
    scale_to_anchor,
    square_crop,
)

SIZE_PX = 320
LARGE_FACE = (640, 480), [[100, 50, 400, 400]]


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_no_boxes_is_no_crop(probability: float) -> None:
    sample = empty_sample()
    assert crop_around_face(sample, np.random.default_rng(0), SIZE_PX, probability) is sample


@pytest.mark.parametrize(
    ("face_px", "smallest", "largest"),
    [(3, 6, 8), (5, 8, 10), (15.9, 8, 31.8), (17, 8, 34), (20, 8, 40), (40, 8, 80), (70, 8, 128), (500, 8, 128)],
)
def test_sizes_drawn_for_a_face(face_px: float, smallest: float, largest: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_face_px(face_px, rng) for _ in range(2000)]
    assert smallest <= min(drawn) < 1.1 * smallest
    assert 0.95 * largest < max(drawn) <= largest


def test_sizes_move_to_the_anchors() -> None:
    sample, rng, widths = coloured_sample(*LARGE_FACE), np.random.default_rng(0), []
    before_px = 300 * SIZE_PX / 640
    assert before_px > 2 * 64
    for _ in range(500):
        result = scale_to_anchor(sample, rng, SIZE_PX)
        assert_sound(result)
        assert result.size_wh == (SIZE_PX, SIZE_PX)
        widths.append(result.boxes_xyxy_px[0, 2] - result.boxes_xyxy_px[0, 0])
    assert SMALLEST_FACE_PX - 1 <= min(widths) < 10
    assert 120 < max(widths) <= 2 * 64 + 1
    # A third each: 8 to 32, 16 to 64, 32 to 128; their means are 20, 40 and 80.
    assert np.mean(widths) == pytest.approx((20 + 40 + 80) / 3, abs=4)
    assert np.median(widths) < before_px / 3


def test_small_faces_grow() -> None:
    sample, rng = coloured_sample((1280, 960), [[600, 400, 612, 412]]), np.random.default_rng(0)
    before_px = 12 * SIZE_PX / 1280
    widths = [np.ptp(scale_to_anchor(sample, rng, SIZE_PX).boxes_xyxy_px[0, ::2]) for _ in range(200)]
    assert min(widths) > 2 * before_px
    assert max(widths) <= 25


def test_the_whole_face_is_in_the_window() -> None:
    sample, rng = crowd(), np.random.default_rng(0)
    for _ in range(200):
        result = scale_to_anchor(sample, rng, SIZE_PX)
        assert_sound(result)
        before = sample.boxes_xyxy_px[result.labels]
        ratios = (result.boxes_xyxy_px[:, 2:] - result.boxes_xyxy_px[:, :2]) / (before[:, 2:] - before[:, :2])
        # Of the chosen face nothing is cut off: no face has a larger scale in either direction.
        assert (ratios >= ratios.max(axis=0) - 0.02 * ratios.max()).all(axis=1).any()


@pytest.mark.parametrize("face", [[0.0, 10.0, 0.5, 60.0], [10.0, 0.0, 60.0, 0.5], [639.5, 10.0, 640.0, 60.0]])
def test_a_window_around_a_sliver_is_not_all_outside(face: list[float]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        window = draw_window(np.array(face), (640, 480), rng, SIZE_PX)
        assert (window[:2] < (640, 480)).all()
        assert (window[2:] > 0).all()


def test_outside_the_picture_is_black() -> None:
    sample, rng = coloured_sample((100, 100), [[0, 0, 100, 100]]), np.random.default_rng(0)
    for _ in range(50):
        result = scale_to_anchor(sample, rng, SIZE_PX)
        x0, y0, x1, y1 = np.rint(result.boxes_xyxy_px[0]).astype(int)
        bright = result.picture.any(axis=2)
        assert bright[y0:y1, x0:x1].all()
        assert bright.sum() == (x1 - x0) * (y1 - y0)


def test_square_crops() -> None:
    sample, rng, sides = crowd(), np.random.default_rng(0), []
    for _ in range(200):
        result = square_crop(sample, rng, SIZE_PX)
        assert_sound(result)
        width, height = result.size_wh
        assert width == height
        sides.append(width / 480)
        before = sample.boxes_xyxy_px[result.labels]
        whole = result.boxes_xyxy_px[:, 2:] - result.boxes_xyxy_px[:, :2] == before[:, 2:] - before[:, :2]
        assert whole.all(axis=1).any()
    assert 0.29 < min(sides) < 0.35
    assert np.mean(np.equal(sides, 1)) == pytest.approx(0.2, abs=0.08)  # one of the five kinds


def test_a_face_that_fits_no_square_leaves_the_picture_whole() -> None:
    sample = coloured_sample((640, 300), [[0, 0, 640, 300]])
    assert square_crop(sample, np.random.default_rng(0), SIZE_PX) is sample


def test_small_faces_are_dropped() -> None:
    """The small one is 4 px wide in crops of at least 120 px, which become 160: up to 5.4 px, less than 8."""
    sample, rng = coloured_sample((640, 480), [[200, 200, 280, 280], [230, 290, 234, 294]]), np.random.default_rng(0)
    labels = [square_crop(sample, rng, size_px=160).labels.tolist() for _ in range(200)]
    assert labels.count([0]) > 190
    assert all(kept in ([0], [0, 1]) for kept in labels)


def test_scaled_faces_are_not_small() -> None:
    sample, rng = crowd(), np.random.default_rng(0)
    for _ in range(200):
        result = scale_to_anchor(sample, rng, SIZE_PX)
        boxes = result.boxes_xyxy_px
        assert (boxes[:, 2:] - boxes[:, :2]).prod(axis=1).min() >= SMALLEST_FACE_PX**2


def test_only_small_faces_leave_the_picture_whole() -> None:
    sample = coloured_sample((640, 480), [[200, 200, 204, 204]])
    assert square_crop(sample, np.random.default_rng(0), size_px=160) is sample


def test_both_ways_are_taken_equally_often() -> None:
    sample, rng = coloured_sample(*LARGE_FACE), np.random.default_rng(0)
    scaled = [crop_around_face(sample, rng, SIZE_PX).size_wh == (SIZE_PX, SIZE_PX) for _ in range(600)]
    assert np.mean(scaled) == pytest.approx(0.5, abs=0.07)
