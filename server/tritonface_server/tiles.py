"""Small faces in large photos: overlapping tiles of a picture, and the faces of all of them as those of the picture.

The whole picture is looked at beside its tiles, as SAHI does ("Slicing Aided Hyper Inference", Akyon et al. 2022), from
which the overlap is too. A face that a tile's border cuts is left to others, as StarDist does with what touches the
border of a block: one no wider than the overlap is whole in the next tile, a wider one is large enough for the whole
picture.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tritonface_server.detections import Detections, without_doubles
from tritonface_server.detector import NmsSettings
from tritonface_server.images import ImageError, SizeError
from tritonface_server.limits import MAX_SIDE_PX, MAX_TILES, MIN_NETWORK_SIDE_PX

OVERLAP_PARTS = 5
"""A tile has at least one of so many parts of its side in common with the next one."""
BORDER = 0.01
"""A box that ends within this share of a tile's side from its border touches it."""
MERGE_IOU = 0.5
"""Boxes of one face at two scales agree less well than those of one run of a network."""


def check_tile_size(tile_wh: tuple[int, int]) -> None:
    """SizeError unless pictures may be cut into tiles of this size."""
    for side_px in tile_wh:
        if not MIN_NETWORK_SIDE_PX <= side_px <= MAX_SIDE_PX:
            raise SizeError(
                f"tiles are {tile_wh[0]}x{tile_wh[1]} (width x height); a tile's sides are from {MIN_NETWORK_SIDE_PX} "
                f"to {MAX_SIDE_PX:,} px of the image"
            )


def frames_of(size_wh: tuple[int, int], tile_wh: tuple[int, int]) -> np.ndarray:
    """What of a picture is looked at: all of it, then its tiles row by row; nothing but all where one tile holds it.

    Tiles are of the size asked for, or as wide or high as the picture where that is less, and evenly spread.

    Returns:
        int32 [1 + tiles, 4], xyxy in pixels of the picture.

    Raises:
        ImageError: these would be more than `MAX_TILES`.
    """
    if _count(size_wh, tile_wh) > MAX_TILES:
        least_px = 1 + bisect_left(
            range(1, max(size_wh)), True, key=lambda side_px: _count(size_wh, (side_px, side_px)) <= MAX_TILES
        )
        raise ImageError(
            f"the image of {size_wh[0]}x{size_wh[1]} pixels has {_count(size_wh, tile_wh)} tiles of "
            f"{tile_wh[0]}x{tile_wh[1]}, the limit is {MAX_TILES}; ask for larger tiles, {least_px} px or more",
            reason="too_large",
        )
    whole = (0, 0, *size_wh)
    (lefts, width), (tops, height) = (_spread(*sides) for sides in zip(size_wh, tile_wh))
    tiles = [(left, top, left + width, top + height) for top in tops for left in lefts]
    return np.array([whole, *tiles] if len(tiles) > 1 else [whole], np.int32)


def cut(image: np.ndarray, frame_xyxy_px: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """What a frame shows of a picture, uint8 [h, w, 3].

    Args:
        image: of `size_wh`, to which the frame belongs, or of a fraction of it, as decoding may give it; the frame then
            ends at the nearest pixel.
    """
    scale_xy = np.array(image.shape[1::-1]) / size_wh
    left, top, right, bottom = np.rint(frame_xyxy_px * np.tile(scale_xy, 2)).astype(int).tolist()
    return image[top : max(bottom, top + 1), left : max(right, left + 1)]


def places_of(frames_xyxy_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where frames begin, and their sizes (width, height): int32 [N, 2] each."""
    return frames_xyxy_px[:, :2], frames_xyxy_px[:, 2:] - frames_xyxy_px[:, :2]


def merge(
    found: Sequence[Detections], offsets_xy_px: np.ndarray, sizes_wh: np.ndarray, settings: NmsSettings
) -> Detections:
    """The faces of a picture, best first.

    Args:
        found: those of each frame, in its pixels; the first frame is the whole picture.
        offsets_xy_px, sizes_wh: where each frame begins in the picture and how large it is, int32 [1 + tiles, 2].
        settings: the detector's; without its bounds on how many boxes there may be, which are those of one frame.
    """
    if len(found) == 1:
        return found[0]
    frames = np.hstack([offsets_xy_px, offsets_xy_px + sizes_wh]).astype(np.float32)
    whole = [_uncut(each, frame, frames[0]) for each, frame in zip(found, frames)]
    columns = [
        np.concatenate([getattr(each, name) for each in whole]) for name in ("boxes_xyxy_px", "scores", "class_ids")
    ]
    settings = replace(settings, iou_threshold=min(settings.iou_threshold, MERGE_IOU))
    return without_doubles(Detections(*columns), settings)


def _uncut(found: Detections, frame_xyxy_px: np.ndarray, picture_xyxy_px: np.ndarray) -> Detections:
    """What a frame's inner borders do not cut, in pixels of the picture; the picture's own borders may."""
    boxes = found.boxes_xyxy_px + np.tile(frame_xyxy_px[:2], 2)
    inner = frame_xyxy_px != picture_xyxy_px
    near_px = BORDER * np.tile(frame_xyxy_px[2:] - frame_xyxy_px[:2], 2)
    touching = np.abs(boxes - frame_xyxy_px) < near_px
    whole = ~(touching & inner).any(axis=1)
    return Detections(boxes[whole], found.scores[whole], found.class_ids[whole])


def _count(size_wh: tuple[int, int], tile_wh: tuple[int, int]) -> int:
    return _along(size_wh[0], tile_wh[0]) * _along(size_wh[1], tile_wh[1])


def _along(side_px: int, tile_px: int) -> int:
    """How many tiles it takes to cover a side."""
    if side_px <= tile_px:
        return 1
    overlap_px = _overlap(tile_px)
    return -(-(side_px - overlap_px) // (tile_px - overlap_px))


def _overlap(tile_px: int) -> int:
    return -(-tile_px // OVERLAP_PARTS)


def _spread(side_px: int, tile_px: int) -> tuple[list[int], int]:
    """Where the tiles of a side begin, and how long they are."""
    count, tile_px = _along(side_px, tile_px), min(side_px, tile_px)
    return [i * (side_px - tile_px) // max(count - 1, 1) for i in range(count)], tile_px
