"""Tiles of a picture: where they lie, what they show, and what becomes of the faces in them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.shipped import shipped
from tritonface_server.detections import Detections
from tritonface_server.detector import NmsSettings
from tritonface_server.images import ImageError, SizeError
from tritonface_server.limits import MAX_TILES
from tritonface_server.tiles import BORDER, OVERLAP_PARTS, check_tile_size, cut, frames_of, merge, places_of

SETTINGS = NmsSettings(score_threshold=0.01, iou_threshold=0.7, top_k=1000, keep_top_k=2)
SIZES = [(641, 640), (1280, 640), (1152, 1152), (1153, 997), (3000, 100), (100, 3000), (2000, 1333), (2311, 1709)]


def detections(*rows: tuple[float, ...], class_id: int = 0) -> Detections:
    """Of rows (x1, y1, x2, y2, score)."""
    array = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(array[:, :4], array[:, 4], np.full(len(array), class_id, np.int32))


@pytest.mark.parametrize("size_wh", [(1, 1), (639, 5), (640, 640)])
def test_what_one_tile_holds_is_not_cut(size_wh: tuple[int, int]) -> None:
    assert frames_of(size_wh, (640, 640)).tolist() == [[0, 0, *size_wh]]


def test_two_tiles_that_fit_exactly() -> None:
    assert frames_of((180, 100), (100, 100)).tolist() == [[0, 0, 180, 100], [0, 0, 100, 100], [80, 0, 180, 100]]


def test_a_pixel_more_than_a_tile() -> None:
    assert frames_of((101, 50), (100, 100)).tolist()[1:] == [[0, 0, 100, 50], [1, 0, 101, 50]]


def test_tiles_come_row_by_row() -> None:
    corners = frames_of((250, 240), (100, 100))[1:, :2].tolist()
    assert corners == [[x, y] for y in (0, 70, 140) for x in (0, 75, 150)]


@pytest.mark.parametrize("tile_wh", [(640, 640), (999, 640), (640, 1000)])
@pytest.mark.parametrize("size_wh", SIZES)
def test_whatever_is_no_larger_than_the_overlap_is_whole_in_a_tile(
    size_wh: tuple[int, int], tile_wh: tuple[int, int]
) -> None:
    whole, *tiles = frames_of(size_wh, tile_wh).tolist()
    assert whole == [0, 0, *size_wh]
    tiles = tiles or [whole]
    for axis in (0, 1):
        side_px = min(tile_wh[axis], size_wh[axis])
        assert {tile[axis + 2] - tile[axis] for tile in tiles} == {side_px}
        starts = sorted({tile[axis] for tile in tiles})
        assert starts[0] == 0 and starts[-1] + side_px == size_wh[axis]
        assert all(0 < after - before <= side_px - side_px / OVERLAP_PARTS for before, after in pairwise(starts))


def test_too_many_tiles_are_refused_with_the_size_that_fits() -> None:
    with pytest.raises(ImageError, match=r"4000x3000 pixels has 48 tiles of 640x640, .* 31; .* 800 px") as caught:
        frames_of((4000, 3000), (640, 640))
    assert caught.value.reason == "too_large"
    assert len(frames_of((4000, 3000), (800, 800))) - 1 <= MAX_TILES
    with pytest.raises(ImageError):
        frames_of((4000, 3000), (799, 799))


@pytest.mark.parametrize("size_wh", [(4000, 3000), (3000, 4000), (20_000, 100), (9999, 7777)])
def test_the_size_that_fits_is_the_least(size_wh: tuple[int, int]) -> None:
    with pytest.raises(ImageError) as caught:
        frames_of(size_wh, (64, 64))
    (least_px,) = map(int, re.findall(r"larger tiles, (\d+) px or more", str(caught.value)))
    assert 1 < len(frames_of(size_wh, (least_px, least_px))) - 1 <= MAX_TILES
    with pytest.raises(ImageError, match=f"{least_px} px or more"):
        frames_of(size_wh, (least_px - 1, least_px - 1))


@pytest.mark.parametrize("tile_wh", [(32, 32), (32, 32_768), (32_768, 32), (640, 480)])
def test_sizes_of_tiles(tile_wh: tuple[int, int]) -> None:
    check_tile_size(tile_wh)


@pytest.mark.parametrize("tile_wh", [(31, 640), (640, 0), (-640, 640), (640, 32_769)])
def test_sizes_that_are_none(tile_wh: tuple[int, int]) -> None:
    with pytest.raises(SizeError, match=r"sides are from 32 to 32,768 px"):
        check_tile_size(tile_wh)


@pytest.mark.parametrize("size_wh", [(300, 200), (301, 199)])
def test_a_cut_shows_the_same_of_a_picture_that_was_decoded_at_half_its_size(size_wh: tuple[int, int]) -> None:
    image = np.arange(200 * 300, dtype=np.uint16).astype(np.uint8).reshape(200, 300, 1).repeat(3, axis=2)
    frame = np.array([101, 50, 221, 150], np.int32)
    assert np.array_equal(cut(image, frame, (300, 200)), image[50:150, 101:221])
    half = image[::2, ::2]
    assert cut(half, frame, size_wh).shape == (50, 60, 3)
    assert cut(half, np.array([0, 0, *size_wh], np.int32), size_wh).shape == half.shape
    assert cut(image[:1, :1], frame, (300, 200)).shape == (1, 1, 3)
    assert cut(half, np.array([100, 52, 101, 53], np.int32), size_wh).shape == (1, 1, 3)  # half a pixel


def test_a_picture_without_tiles_keeps_what_was_found() -> None:
    found = detections((0, 0, 9, 9, 0.5), (1, 0, 9, 9, 0.4), (2, 0, 9, 9, 0.3))
    assert merge([found], *places_of(frames_of((99, 50), (100, 100))), SETTINGS) is found


def test_faces_of_two_tiles_and_the_whole_become_those_of_the_picture() -> None:
    frames = frames_of((180, 100), (100, 100))
    whole = detections((10, 10, 30, 30, 0.6), (84, 41, 97, 59, 0.3))
    left = detections((10, 10, 30, 31, 0.8), (50, 50, 70, 70, 0.7), (84, 40, 96, 58, 0.5))
    right = detections((4, 40, 16, 58, 0.9), (60, 5, 70, 15, 0.2))
    found = merge([whole, left, right], *places_of(frames), SETTINGS)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.7, 0.2])  # more than keep_top_k, which is for one frame
    assert found.boxes_xyxy_px.tolist() == [[84, 40, 96, 58], [10, 10, 30, 31], [50, 50, 70, 70], [140, 5, 150, 15]]
    assert (found.boxes_xyxy_px.dtype, found.class_ids.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize("box", [(85, 20, 100, 40), (85, 20, 100 - 0.9 * BORDER * 100, 40)])
def test_a_face_that_a_tiles_border_cuts_is_left_to_the_next_tile(box: tuple[float, ...]) -> None:
    places = places_of(frames_of((180, 100), (100, 100)))
    piece, none = detections((*box, 0.99)), Detections.none()
    assert not len(merge([none, piece, none], *places, SETTINGS).scores)
    entire = merge([none, piece, detections((5, 20, 25, 40, 0.4))], *places, SETTINGS)
    assert entire.boxes_xyxy_px.tolist() == [[85, 20, 105, 40]]


@pytest.mark.parametrize(("left_px", "stays"), [(0, False), (0.9, False), (1.1, True)])
def test_near_a_border_is_a_hundredth_of_the_tile(left_px: float, stays: bool) -> None:
    places = places_of(frames_of((180, 100), (100, 100)))
    right = detections((left_px, 20, 20, 40, 0.9))
    assert len(merge([Detections.none(), Detections.none(), right], *places, SETTINGS).scores) == stays


def test_a_face_at_the_border_of_the_picture_stays() -> None:
    places = places_of(frames_of((180, 100), (100, 100)))
    left, right = detections((0, 0, 20, 20, 0.9)), detections((80, 80, 100, 100, 0.8))
    found = merge([Detections.none(), left, right], *places, SETTINGS)
    assert found.boxes_xyxy_px.tolist() == [[0, 0, 20, 20], [160, 80, 180, 100]]


def test_a_face_larger_than_the_overlap_is_that_of_the_whole_picture() -> None:
    places = places_of(frames_of((180, 100), (100, 100)))
    left, right = detections((60, 20, 100, 80, 0.9)), detections((0, 20, 40, 80, 0.9))
    found = merge([detections((60, 20, 120, 80, 0.6)), left, right], *places, SETTINGS)
    assert found.boxes_xyxy_px.tolist() == [[60, 20, 120, 80]]


def test_classes_do_not_suppress_each_other() -> None:
    places = places_of(frames_of((180, 100), (100, 100)))
    whole, tile = detections((10, 10, 30, 30, 0.6)), detections((10, 10, 30, 30, 0.8), class_id=1)
    found = merge([whole, tile, Detections.none()], *places, SETTINGS)
    assert found.class_ids.tolist() == [1, 0]


def test_boxes_of_one_face_at_two_scales_need_not_agree_as_well_as_a_detector_wants_it() -> None:
    places = places_of(frames_of((180, 100), (100, 100)))
    whole, tile = detections((10, 10, 30, 30, 0.6)), detections((10, 10, 30, 22, 0.8))  # an IoU of .6
    for iou_threshold in (0.7, 0.5):
        settings = replace(SETTINGS, iou_threshold=iou_threshold)
        assert len(merge([whole, tile, Detections.none()], *places, settings).scores) == 1
    strict = replace(shipped().nms, iou_threshold=0.3)
    apart = detections((10, 10, 30, 18, 0.8))  # .4
    assert len(merge([whole, apart, Detections.none()], *places, strict).scores) == 1
    assert len(merge([whole, apart, Detections.none()], *places, SETTINGS).scores) == 2
