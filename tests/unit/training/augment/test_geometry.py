from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest

from tests.augment_samples import assert_same, assert_sound, colour, coloured_sample, crowd, empty_sample
from training.augment import resize_sample
from training.augment.geometry import FILL_RGB, MAX_CANVAS_PIXELS, crop_to, expand, flip

always_flip = partial(flip, probability=1.0)
always_expand = partial(expand, probability=1.0)


@pytest.mark.parametrize("augment", [flip, expand, always_flip, always_expand])
def test_no_boxes(augment) -> None:
    for seed in range(20):
        result = augment(empty_sample(), np.random.default_rng(seed))
        assert_sound(result)
        assert len(result.labels) == 0


def test_no_boxes_cropped_and_resized() -> None:
    for result in (crop_to(empty_sample(), np.array([3, 4, 10, 9])), resize_sample(empty_sample(), 32, "cubic")):
        assert_sound(result)
        assert len(result.labels) == 0


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([10, 20, 30, 40], [[0, 0, 20, 20]]),
        ([0, 20, 24, 44], [[0, 0, 14, 24]]),  # clipped at the left
        ([0, 20, 18, 40], []),  # its centre is outside
        ([0, 20, 20, 40], [[0, 0, 10, 20]]),  # its centre is on the first pixel
        ([50, 20, 70, 40], []),  # its centre is on the pixel after the last
        ([49, 20, 69, 40], [[39, 0, 50, 20]]),
        ([0, 0, 100, 80], [[0, 0, 50, 40]]),
        ([80, 70, 90, 80], []),
    ],
)
def test_crop_to(box: list[int], expected: list[list[int]]) -> None:
    result = crop_to(coloured_sample((100, 80), [box]), np.array([10, 20, 60, 60]))
    assert result.size_wh == (50, 40)
    assert_sound(result)
    assert result.boxes_xyxy_px.tolist() == expected
    assert result.labels.tolist() == [0] * len(expected)


def test_flip() -> None:
    result = always_flip(coloured_sample((100, 80), [[0, 20, 30, 40], [50, 1, 51, 2]]), np.random.default_rng(0))
    assert result.boxes_xyxy_px.tolist() == [[70, 20, 100, 40], [49, 1, 50, 2]]
    assert (result.picture[20:40, 70:100] == colour(0)).all()
    assert result.picture[1, 49].tolist() == colour(1).tolist()


def test_flipping_twice_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    assert_same(always_flip(always_flip(crowd(), rng), rng), crowd())


def test_half_of_the_samples_are_flipped() -> None:
    sample, rng = coloured_sample((8, 8), [[0, 0, 2, 2]]), np.random.default_rng(0)
    flipped = [flip(sample, rng).boxes_xyxy_px[0, 0] != 0 for _ in range(2000)]
    assert np.mean(flipped) == pytest.approx(0.5, abs=0.04)


def test_expand() -> None:
    sample, rng, ratios, places = crowd((100, 80)), np.random.default_rng(0), [], []
    for _ in range(150):
        result = always_expand(sample, rng)
        assert_sound(result)
        assert result.labels.tolist() == sample.labels.tolist()
        x, y = (result.boxes_xyxy_px - sample.boxes_xyxy_px)[0, :2].astype(int)
        np.testing.assert_array_equal(result.boxes_xyxy_px - sample.boxes_xyxy_px, [[x, y, x, y]] * 16)
        np.testing.assert_array_equal(result.picture[y : y + 80, x : x + 100], sample.picture)
        outside = np.ones(result.picture.shape[:2], bool)
        outside[y : y + 80, x : x + 100] = False
        np.testing.assert_allclose(result.picture[outside], [FILL_RGB[::-1]] * outside.sum(), atol=0.5)
        ratios.append(result.size_wh[0] / 100)
        places.append(x / max(1, result.size_wh[0] - 100))
    assert 1 <= min(ratios) < 1.2 < 3.8 < max(ratios) <= 4
    assert np.mean(ratios) == pytest.approx(2.5, abs=0.25)
    assert 0 <= min(places) < 0.05 < 0.95 < max(places) <= 1


def test_half_of_the_samples_are_expanded() -> None:
    sample, rng = coloured_sample((100, 100), []), np.random.default_rng(0)
    assert np.mean([expand(sample, rng) is sample for _ in range(1000)]) == pytest.approx(0.5, abs=0.05)


def test_expanded_pictures_have_a_limit() -> None:
    sample = coloured_sample((6000, 3000), [[3000, 600, 4500, 1200]])
    for seed in range(3):
        result = always_expand(sample, np.random.default_rng(seed))
        assert_sound(result)
        width, height = result.size_wh
        assert MAX_CANVAS_PIXELS * 0.95 < width * height <= MAX_CANVAS_PIXELS
        x0, y0, x1, y1 = np.rint(result.boxes_xyxy_px[0]).astype(int)
        assert (x1 - x0) / (y1 - y0) == pytest.approx(1500 / 600, rel=0.01)
        assert (result.picture[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2] == colour(0)).all()
        assert not (result.picture[y0 - 3, x0:x1] == colour(0)).any()


@pytest.mark.parametrize("interpolation", ["linear", "cubic", cv2.INTER_NEAREST, cv2.INTER_AREA, cv2.INTER_LANCZOS4])
def test_resize(interpolation: str | int) -> None:
    result = resize_sample(coloured_sample((100, 50), [[10, 10, 40, 20], [0, 0, 100, 50]]), 200, interpolation)
    assert_sound(result)
    assert result.size_wh == (200, 200)
    assert result.boxes_xyxy_px.tolist() == [[20, 40, 80, 80], [0, 0, 200, 200]]


def test_resize_interpolates_as_asked() -> None:
    sample = crowd()
    for name, constant in (("linear", cv2.INTER_LINEAR), ("cubic", cv2.INTER_CUBIC)):
        assert_same(resize_sample(sample, 96, name), resize_sample(sample, 96, constant))
    assert (resize_sample(sample, 96, "linear").picture != resize_sample(sample, 96, "cubic").picture).any()


def test_resize_to_the_same_size_is_no_copy() -> None:
    sample = empty_sample((64, 64))
    assert resize_sample(sample, 64, "linear") is sample
