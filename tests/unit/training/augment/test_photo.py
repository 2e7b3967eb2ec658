from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.augment_samples import assert_sound, coloured_sample, crowd, empty_sample
from training.augment.geometry import FILL_RGB
from training.augment.photo import MOST_DEGREES, blur, rotate, tilt
from training.augment.sample import IGNORED


def test_no_boxes() -> None:
    for seed in range(10):
        for step in (tilt, blur):
            result = step(empty_sample(), np.random.default_rng(seed), 1.0)
            assert_sound(result)
            assert len(result.labels) == 0 and result.size_wh == (120, 90)


def test_not_at_all_and_always() -> None:
    for step in (tilt, blur):
        assert step(crowd(), np.random.default_rng(0), 0.0).picture.tobytes() == crowd().picture.tobytes()
        assert step(crowd(), np.random.default_rng(0), 1.0).picture.tobytes() != crowd().picture.tobytes()


@pytest.mark.parametrize("degrees", [-MOST_DEGREES, -5.0, 0.0, 5.0, MOST_DEGREES, 90.0])
def test_boxes_follow_round_faces(degrees: float) -> None:
    """An ellipse is drawn, turned, and found again where its box says."""
    sample = coloured_sample((200, 160), [[40, 30, 80, 90]])
    picture = np.zeros_like(sample.picture)
    cv2.ellipse(picture, ((59.5, 59.5), (40, 60), 0), (255, 255, 255), -1)
    result = rotate(replace(sample, picture=picture), degrees)
    assert_sound(result)
    y, x = np.nonzero((result.picture > 200).all(axis=2))
    found = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    np.testing.assert_allclose(result.boxes_xyxy_px[0], found, atol=1.5)


def test_against_the_clock_and_filled() -> None:
    result = rotate(coloured_sample((101, 101), [[80, 45, 90, 55]]), 90)
    np.testing.assert_allclose(result.boxes_xyxy_px, [[45.5, 11, 55.5, 21]], atol=0.6)  # right becomes up
    corner = rotate(coloured_sample((100, 100), []), 45).picture[0, 0]
    np.testing.assert_allclose(corner[::-1], FILL_RGB, atol=1)


def test_a_face_that_is_turned_out_of_the_picture_is_ignored() -> None:
    result = rotate(coloured_sample((400, 100), [[380, 0, 400, 20], [190, 40, 210, 60]]), 12)
    assert result.labels.tolist() in ([1], [IGNORED, 1])


def test_blur_keeps_boxes_and_mean() -> None:
    result = blur(crowd(), np.random.default_rng(0), 1.0)
    np.testing.assert_array_equal(result.boxes_xyxy_px, crowd().boxes_xyxy_px)
    assert result.picture.mean() == pytest.approx(crowd().picture.mean(), abs=1)
    assert (
        np.abs(np.diff(result.picture.astype(int), axis=0)).mean()
        < np.abs(np.diff(crowd().picture.astype(int), axis=0)).mean()
    )
