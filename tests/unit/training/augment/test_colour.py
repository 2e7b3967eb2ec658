from __future__ import annotations

import math

import numpy as np
import pytest

from tests.augment_samples import assert_sound, crowd, empty_sample
from training.augment import Sample
from training.augment.colour import DEFAULT_RANGES, FACE_RANGES, ColourRanges, Jitter, colour_matrix, distort

OFF = Jitter(5.0, 9.0, 0.0)
NEUTRAL = {"brightness": 0.0, "contrast": 1.0, "saturation": 1.0, "hue_rad": 0.0}


def always(value: float) -> Jitter:
    return Jitter(value, value, 1.0)


def ranges(**changed: Jitter) -> ColourRanges:
    return ColourRanges(**{**dict.fromkeys(NEUTRAL, OFF), **changed})


def one_pixel(*bgr: int) -> Sample:
    return Sample(np.array([[bgr]], np.uint8), np.empty((0, 4), np.float32), np.empty(0, np.int64))


def test_no_boxes() -> None:
    for seed in range(20):
        result = distort(empty_sample(), np.random.default_rng(seed))
        assert_sound(result)
        assert len(result.labels) == 0


def test_nothing_to_do_is_no_copy() -> None:
    sample = crowd()
    assert distort(sample, np.random.default_rng(0), ranges()) is sample
    np.testing.assert_array_equal(colour_matrix(**NEUTRAL), np.eye(3, 4))


@pytest.mark.parametrize(
    ("changed", "bgr", "expected_bgr"),
    [
        ({"brightness": always(10)}, (0, 100, 250), (10, 110, 255)),
        ({"contrast": always(1.5)}, (0, 100, 200), (0, 150, 255)),
        ({"contrast": always(0.5)}, (0, 100, 200), (0, 50, 100)),
        ({"brightness": always(10), "contrast": always(2)}, (0, 20, 30), (20, 60, 80)),  # brightness is first
        ({"saturation": always(0)}, (0, 0, 200), (60, 60, 60)),  # the grey of red: .299
        ({"saturation": always(0)}, (200, 0, 0), (23, 23, 23)),  # and of blue: .114
        ({"saturation": always(2)}, (100, 100, 100), (100, 100, 100)),
        ({"saturation": always(1.5)}, (0, 0, 100), (0, 0, 135)),
        ({"hue_rad": always(2 * math.pi)}, (10, 100, 200), (10, 100, 200)),
        ({"hue_rad": always(1.0)}, (100, 100, 100), (100, 100, 100)),
        # Half a turn mirrors a colour at its grey value, here .299 * 60 + .587 * 100 + .114 * 140 = 92.6
        ({"hue_rad": always(math.pi)}, (140, 100, 60), (45, 85, 125)),
    ],
)
def test_values(changed: dict[str, Jitter], bgr: tuple[int, ...], expected_bgr: tuple[int, ...]) -> None:
    sample = one_pixel(*bgr)
    result = distort(sample, np.random.default_rng(0), ranges(**changed))
    np.testing.assert_allclose(result.picture[0, 0].astype(int), expected_bgr, atol=1)
    assert tuple(sample.picture[0, 0]) == bgr


def test_a_quarter_turn_of_the_hue() -> None:
    """Red is (I, Q) = (.596, .211); turned by 90 degrees it is (-.211, .596), with the same grey value .299."""
    red, green, blue = colour_matrix(**{**NEUTRAL, "hue_rad": math.pi / 2})[:, 0]
    grey, i, q = 0.299, -0.211, 0.596
    expected = [grey + 0.956 * i + 0.621 * q, grey - 0.272 * i - 0.647 * q, grey - 1.107 * i + 1.705 * q]
    np.testing.assert_allclose([red, green, blue], expected, atol=0.003)


def test_contrast_saturation_and_hue_may_come_in_any_order() -> None:
    steps = [colour_matrix(**{**NEUTRAL, name: 0.7})[:, :3] for name in ("contrast", "saturation", "hue_rad")]
    together = colour_matrix(0, 0.7, 0.7, 0.7)[:, :3]
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        np.testing.assert_allclose(steps[a] @ steps[b] @ steps[c], together, atol=1e-9)


@pytest.mark.parametrize("ranges", [DEFAULT_RANGES, FACE_RANGES])
def test_bytes_equal_the_formula(ranges: ColourRanges) -> None:
    """OpenCV computes in fixed point; it must round as floating point does, within one level."""
    sample, worst = crowd(), 0.0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        matrix = colour_matrix(
            ranges.brightness.draw(rng, 0),
            ranges.contrast.draw(rng, 1),
            ranges.saturation.draw(rng, 1),
            ranges.hue_rad.draw(rng, 0),
        )
        rgb = sample.picture[..., ::-1].astype(np.float64)
        expected = np.clip(rgb @ matrix[:, :3].T + matrix[:, 3], 0, 255)
        result = distort(sample, np.random.default_rng(seed), ranges).picture[..., ::-1]
        worst = max(worst, np.abs(result - expected).max())
    assert worst <= 1


def test_how_often_each_is_drawn() -> None:
    rng = np.random.default_rng(0)
    for ranges, name, expected in [(DEFAULT_RANGES, "contrast", 0.5), (FACE_RANGES, "brightness", 0.125)]:
        jitter = getattr(ranges, name)
        drawn = np.array([jitter.draw(rng, np.nan) for _ in range(4000)])
        assert np.isfinite(drawn).mean() == pytest.approx(expected, abs=0.03)
        assert jitter.low <= np.nanmin(drawn) < np.nanmax(drawn) <= jitter.high
        assert np.nanmean(drawn) == pytest.approx((jitter.low + jitter.high) / 2, abs=0.03)
