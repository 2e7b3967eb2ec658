from __future__ import annotations

import numpy as np
import pytest

from tests.augment_samples import assert_sound, coloured_sample, crowd, empty_sample
from training.augment.crop import draw_windows, pairwise_iou, random_crop


def test_no_boxes_is_no_crop() -> None:
    sample = empty_sample()
    assert random_crop(sample, np.random.default_rng(0)) is sample


def test_no_boxes_have_no_overlap() -> None:
    nothing, something = np.empty((0, 4)), np.ones((3, 4))
    assert pairwise_iou(nothing, something).shape == (0, 3)
    assert pairwise_iou(something, nothing).shape == (3, 0)


def test_overlap() -> None:
    a = np.array([[0, 0, 10, 10], [10, 10, 20, 20]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]])
    np.testing.assert_allclose(pairwise_iou(a, b), [[1, 1 / 3, 0], [0, 0, 0]])


@pytest.mark.parametrize("size_wh", [(1, 1), (2, 500), (640, 480)])
def test_windows_are_inside(size_wh: tuple[int, int]) -> None:
    windows = draw_windows(size_wh, np.random.default_rng(0))
    assert (windows[:, :2] >= 0).all()
    assert (windows[:, 2:] <= size_wh).all()
    assert (windows[:, :2] < windows[:, 2:]).all()


def test_windows_have_the_documented_shapes() -> None:
    rng = np.random.default_rng(0)
    windows = np.concatenate([draw_windows((1000, 1000), rng) for _ in range(100)])
    width, height = (windows[:, 2:] - windows[:, :2]).T
    scales, aspects = np.sqrt(width * height) / 1000, width / height
    assert 0.29 <= scales.min() < 0.32
    assert 0.98 < scales.max() <= 1
    assert 0.49 <= aspects.min() < 0.55
    assert 1.9 < aspects.max() <= 2.02
    assert scales.mean() == pytest.approx(0.65, abs=0.02)


def test_crops_keep_the_centre_of_a_face() -> None:
    sample, rng, kept = crowd(), np.random.default_rng(0), []
    for _ in range(300):
        result = random_crop(sample, rng)
        assert_sound(result)
        assert len(result.labels) > 0
        kept.append(result is sample)
    # "No crop" comes before the threshold 0 in half of the orders, the others being out of small faces' reach.
    assert np.mean(kept) == pytest.approx(0.5, abs=0.1)


def test_a_face_that_fills_the_picture_allows_every_threshold() -> None:
    sample, rng = coloured_sample((300, 300), [[0, 0, 300, 300]]), np.random.default_rng(0)
    results = [random_crop(sample, rng) for _ in range(500)]
    assert np.mean([result is sample for result in results]) == pytest.approx(1 / 7, abs=0.05)
    areas = np.array([np.prod(result.size_wh) / 300**2 for result in results if result is not sample])
    # The area is the IoU: one crop in six is asked for .9, one for .7, ...
    assert (areas >= 0.9).mean() > 1 / 6
    assert (areas < 0.3).mean() > 0.03  # few, since most windows as small miss the face's centre
