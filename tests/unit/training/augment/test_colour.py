from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.augment_samples import assert_sound, crowd, empty_sample
from training.augment.colour import (
    DEFAULT_RANGES,
    FACE_RANGES,
    ColourRanges,
    Jitter,
    brighten,
    distort,
    saturate,
    scale_contrast,
    turn_hue,
)

NAMES = ("brightness", "contrast", "saturation", "hue")
OFF, ON = Jitter(0.7, 0.8, 0.0), Jitter(0.7, 0.8, 1.0)


def test_no_boxes() -> None:
    for seed in range(20):
        result = distort(empty_sample(), np.random.default_rng(seed))
        assert_sound(result)
        assert len(result.labels) == 0


def test_nothing_to_do_is_no_copy() -> None:
    sample = crowd()
    assert distort(sample, np.random.default_rng(0), ColourRanges(OFF, OFF, OFF, OFF)) is sample


@pytest.mark.parametrize(
    ("change", "value", "bgr", "expected_bgr"),
    [
        (brighten, 0.5, (0, 100, 201), (0, 50, 100)),
        (brighten, 1.5, (0, 100, 200), (0, 150, 255)),
        (scale_contrast, 1.5, (100, 100, 100), (100, 100, 100)),
        (scale_contrast, 2.0, (0, 0, 200), (0, 0, 255)),  # the grey of this red, and so of the picture, is 59.8
        (scale_contrast, 0.5, (0, 0, 200), (30, 30, 130)),
        (saturate, 0.0, (0, 0, 200), (60, 60, 60)),
        (saturate, 0.0, (200, 0, 0), (23, 23, 23)),
        (saturate, 2.0, (100, 100, 100), (100, 100, 100)),
        (saturate, 1.5, (0, 0, 100), (0, 0, 135)),
        (turn_hue, 0.0, (10, 100, 200), (10, 100, 200)),
        (turn_hue, 18.0, (77, 77, 77), (77, 77, 77)),
        (turn_hue, 256 / 3, (0, 0, 200), (0, 200, 0)),  # red to green; hues are bytes, so all this is coarse
        (turn_hue, -256 / 3, (0, 0, 200), (200, 0, 0)),  # red to blue
        (turn_hue, -10.0, (200, 0, 0), (200, 47, 0)),  # by 14 of the 60 degrees from blue to cyan
    ],
)
def test_values(change: Callable, value: float, bgr: tuple[int, ...], expected_bgr: tuple[int, ...]) -> None:
    picture = np.full((5, 7, 3), bgr, np.uint8)
    result = change(picture, value)
    np.testing.assert_allclose(
        result.astype(int), np.broadcast_to(expected_bgr, (5, 7, 3)), atol=1 if change is not turn_hue else 6
    )
    assert (picture == bgr).all()


@pytest.mark.parametrize("value", [0.5, 0.8, 1.2, 1.5])
@pytest.mark.parametrize(
    ("change", "enhance"),
    [
        (brighten, ImageEnhance.Brightness),
        (scale_contrast, ImageEnhance.Contrast),
        (saturate, ImageEnhance.Color),
    ],
)
def test_pillow_does_the_same(change: Callable, enhance: Callable, value: float) -> None:
    """Pillow is what the reference uses; it rounds down where OpenCV rounds, and rounds the mean grey."""
    picture = crowd().picture
    expected = np.asarray(enhance(Image.fromarray(picture[..., ::-1])).enhance(value))[..., ::-1]
    assert np.abs(change(picture, value).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("shift", [-18, -3, 5, 18])
def test_pillow_turns_hues_the_same(shift: int) -> None:
    picture = crowd().picture
    hsv = np.array(Image.fromarray(picture[..., ::-1]).convert("HSV"))
    hsv[..., 0] += np.uint8(shift % 256)
    expected = np.asarray(Image.fromarray(hsv, mode="HSV").convert("RGB"))[..., ::-1]
    difference = np.abs(turn_hue(picture, shift).astype(int) - expected)
    assert difference.mean() < 1.5
    assert difference.max() <= 12  # both have hue and saturation in bytes


@pytest.mark.parametrize(("orders", "fewest", "most"), [((), 4, 24), (FACE_RANGES.orders, 2, 2)])
def test_orders(orders: tuple[tuple[int, ...], ...], fewest: int, most: int) -> None:
    sample = crowd((64, 64), 4)
    ranges = ColourRanges(*[Jitter(value, value, 1.0) for value in (1.5, 1.5, 0.5, 18.0)], orders=orders)
    results = {distort(sample, np.random.default_rng(seed), ranges).picture.tobytes() for seed in range(40)}
    assert fewest <= len(results) <= most
    if orders:
        first, last = brighten(sample.picture, 1.5), turn_hue(saturate(brighten(sample.picture, 1.5), 0.5), 18)
        expected = turn_hue(saturate(scale_contrast(first, 1.5), 0.5), 18), scale_contrast(last, 1.5)
        assert results == {picture.tobytes() for picture in expected}


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_switched_on(name: str) -> None:
    sample = crowd()
    ranges = ColourRanges(**{**dict.fromkeys(NAMES, OFF), name: Jitter(9, 9, 1.0) if name == "hue" else ON})
    assert (distort(sample, np.random.default_rng(0), ranges).picture != sample.picture).any()


@pytest.mark.parametrize(
    ("ranges", "name", "probability"),
    [
        *((DEFAULT_RANGES, name, 0.5) for name in NAMES),
        *((FACE_RANGES, name, 0.5) for name in NAMES[1:]),
        (FACE_RANGES, "brightness", 0.125),
    ],
)
def test_how_often_each_is_drawn(ranges: ColourRanges, name: str, probability: float) -> None:
    rng, jitter = np.random.default_rng(0), getattr(ranges, name)
    drawn = np.array([jitter.draw(rng) for _ in range(4000)], float)  # None becomes NaN
    assert np.isfinite(drawn).mean() == pytest.approx(probability, abs=0.03)
    assert jitter.low <= np.nanmin(drawn) < np.nanmax(drawn) <= jitter.high
    assert np.nanmean(drawn) == pytest.approx((jitter.low + jitter.high) / 2, abs=0.03 * (jitter.high - jitter.low))
