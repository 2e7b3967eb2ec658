from __future__ import annotations

import numpy as np
import pytest

from tests.augment_samples import assert_on_faces, assert_sound, coloured_sample, crowd, empty_sample
from training.augment.ignore import face_sizes_px, ignore_sizes
from training.augment.sample import IGNORED
from training.augment.tile import ASPECT, LARGEST_SHARE, crop_crowd, cut_tile, log_uniform

TILE_PX, SMALLEST_PX = 160, 6


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 200), (120, 90), (900, 700)])
def test_no_faces(size_wh: tuple[int, int]) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sample = crop_crowd(empty_sample(size_wh), rng)
        assert sample.size_wh == size_wh
        tile = cut_tile(sample, rng, (TILE_PX, TILE_PX + 1), SMALLEST_PX)
        assert_sound(tile)
        assert (tile.size_wh, len(tile.labels)) == ((TILE_PX, TILE_PX + 1), 0)


def test_the_drawn_face_has_a_size_drawn_log_uniformly() -> None:
    """A face of 60 px in 1200: nothing but 6 px and .85 of the tile limits it."""
    sample = coloured_sample((1200, 1200), [[500, 600, 560, 660]])
    rng, wanted = np.random.default_rng(0), (SMALLEST_PX, LARGEST_SHARE * TILE_PX)
    tiles = [cut_tile(sample, rng, (TILE_PX, TILE_PX), SMALLEST_PX) for _ in range(500)]
    assert all(tile.labels.tolist() == [0] for tile in tiles)
    sizes = np.array([face_sizes_px(tile)[0] for tile in tiles])
    assert sizes.min() > 0.9 * wanted[0] and sizes.max() < 1.1 * wanted[1]
    shares = (np.log(sizes) - np.log(wanted[0])) / np.log(wanted[1] / wanted[0])
    counts, _ = np.histogram(shares.clip(0, 1), bins=5, range=(0, 1))
    assert counts.min() > 65 and counts.max() < 140  # 100 each


def test_the_aspect_changes() -> None:
    sample, rng = coloured_sample((1200, 1200), [[500, 600, 560, 660]]), np.random.default_rng(0)
    boxes = [cut_tile(sample, rng, (640, 640), 60).boxes_xyxy_px[0] for _ in range(100)]
    aspects = [(x1 - x0) / (y1 - y0) for x0, y0, x1, y1 in boxes]
    assert 1 / ASPECT - 0.05 < min(aspects) < 0.85 and 1.15 < max(aspects) < ASPECT + 0.05


def test_limits_of_scale() -> None:
    """Neither nearly empty tiles, nor a face of 10 px blown up to 500."""
    portrait, rng = coloured_sample((400, 500), [[50, 50, 350, 450]]), np.random.default_rng(0)
    small = coloured_sample((400, 500), [[50, 50, 60, 60]])
    for _ in range(50):
        # The face is 346 px, the longer side of its picture 500, so half of the tile is 221 px of face.
        assert face_sizes_px(cut_tile(portrait, rng, (640, 640), SMALLEST_PX))[0] > 0.99 * 221
        assert face_sizes_px(cut_tile(small, rng, (640, 640), SMALLEST_PX))[0] < 1.05 * 40


def test_boxes_stay_on_their_faces() -> None:
    """Each face has a colour of its own: it fills its box and is not seen outside; what is cut off is ignored."""
    seen = 0
    for seed in range(60):
        tile = cut_tile(crowd(), np.random.default_rng(seed), (320, 300), SMALLEST_PX)
        assert_sound(tile)
        assert tile.is_face.any()
        seen += assert_on_faces(tile)
    assert seen > 60


def test_windows_around_faces_of_a_crowd() -> None:
    sample, rng, sides = crowd((1200, 900), 40), np.random.default_rng(0), []
    for _ in range(200):
        result = crop_crowd(sample, rng)
        assert_sound(result)
        if result is sample:
            continue
        sides.append(result.size_wh[0])
        assert result.size_wh == (sides[-1], sides[-1])
        assert result.is_face.any()
        assert_on_faces(result)
    assert 70 < len(sides) < 130
    assert 384 <= min(sides) < 400 and 545 < max(sides) <= 560


def test_a_window_is_no_larger_than_the_picture() -> None:
    sizes = {crop_crowd(crowd((900, 200)), np.random.default_rng(seed)).size_wh for seed in range(30)}
    assert {height for _, height in sizes} == {200} and len(sizes) > 5


@pytest.mark.parametrize("sample", [crowd((640, 480), 3), crowd((380, 300)), ignore_sizes(crowd((900, 700)), 999, 999)])
def test_pictures_without_a_crowd_stay_whole(sample: object) -> None:
    assert all(crop_crowd(sample, np.random.default_rng(seed)) is sample for seed in range(20))


def test_ignored_boxes_are_not_drawn_but_come_along() -> None:
    sample = coloured_sample((1200, 1200), [[100, 100, 160, 160], [180, 100, 240, 160]])
    ignored = ignore_sizes(sample, 999, 999)
    rng = np.random.default_rng(0)
    tiles = [cut_tile(ignored, rng, (320, 320), SMALLEST_PX) for _ in range(30)]
    assert {label for tile in tiles for label in tile.labels.tolist()} == {IGNORED}


def test_log_uniform() -> None:
    rng = np.random.default_rng(0)
    assert log_uniform(7, 3, rng) == pytest.approx(3)
    drawn = [log_uniform(2, 32, rng) for _ in range(2000)]
    assert min(drawn) >= 2 and max(drawn) <= 32
    assert np.median(drawn) == pytest.approx(8, rel=0.1)
