"""Parts of a picture: on a tile, scaled so that a random face gets a random size, or at the picture's own scale."""

from __future__ import annotations

import math

import numpy as np

from training.augment.geometry import FILL_RGB, cut_and_resize
from training.augment.ignore import face_sizes_px, ignore_cut_off
from training.augment.sample import Sample
from tritonface_server.images import cv2

LARGEST_SHARE = 0.85  # of the tile's shorter side, that a face is scaled to
LEAST_COVERED = 0.5  # of the tile's side by the picture's longer one: tiles are not to be empty
MOST_ENLARGED = 4.0  # beyond it a face is only a blur
ASPECT = 1.3  # a tile is stretched by up to so much in either direction
CROWD_FACES, CROWD_SIDES_PX, CROWD_PROBABILITY = 4, (384, 560), 0.5
INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC)


def crop_crowd(sample: Sample, rng: np.random.Generator) -> Sample:
    """Of a picture with many faces, as often as not, a window of 384 to 560 px around one of them, not resized."""
    chance, side_px = rng.random(), int(rng.integers(*CROWD_SIDES_PX, endpoint=True))
    faces = sample.boxes_xyxy_px[sample.is_face]
    if chance >= CROWD_PROBABILITY or len(faces) < CROWD_FACES or max(sample.size_wh) <= side_px:
        return sample
    window_wh = np.minimum(side_px, sample.size_wh)
    x0, y0, x1, y1 = _place(window_wh, sample, faces[rng.integers(len(faces))], rng).tolist()
    boxes = sample.boxes_xyxy_px - np.float32([x0, y0, x0, y0])
    return ignore_cut_off(Sample(sample.picture[y0:y1, x0:x1], boxes, sample.labels))


def cut_tile(sample: Sample, rng: np.random.Generator, size_wh: tuple[int, int], smallest_px: float) -> Sample:
    """A tile on which a random face has a size drawn log-uniformly from `smallest_px` to `LARGEST_SHARE` of the tile.

    Neither is the picture made so small that it covers less than `LEAST_COVERED` of the tile, nor a face enlarged more
    than `MOST_ENLARGED` times. What is outside the picture gets the mean colour. A picture without faces gets a random
    scale within the same limits.
    """
    faces, tile_px = np.flatnonzero(sample.is_face), min(size_wh)
    face = int(faces[rng.integers(len(faces))]) if len(faces) else None
    covering = LEAST_COVERED * tile_px / max(sample.size_wh)
    if face is None:
        scale = log_uniform(covering, max(covering, 1.0), rng)
    else:
        face_px = float(face_sizes_px(sample)[face])
        largest_px = min(LARGEST_SHARE * tile_px, MOST_ENLARGED * face_px)
        scale = log_uniform(max(smallest_px, covering * face_px), largest_px, rng) / face_px
    stretch = math.sqrt(log_uniform(1 / ASPECT, ASPECT, rng))
    window_wh = np.maximum(1, np.rint(np.array(size_wh) / (scale * stretch, scale / stretch))).astype(np.int64)
    box = None if face is None else sample.boxes_xyxy_px[face]
    window = _place(window_wh, sample, box, rng)
    interpolation = INTERPOLATIONS[rng.integers(len(INTERPOLATIONS))]
    return ignore_cut_off(cut_and_resize(sample, window, size_wh, interpolation, FILL_RGB))


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """A number whose logarithm is drawn evenly; `high` if that is below `low`."""
    return math.exp(rng.uniform(math.log(min(low, high)), math.log(high)))


def _place(window_wh: np.ndarray, sample: Sample, box: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """int64 [4]: a window at a random place in the picture with the box in it; around the picture where it is longer.

    A box longer than the window has the window in it.
    """
    size_wh = np.array(sample.size_wh)
    room = size_wh - window_wh  # negative: the picture has room in the window
    low, high = np.minimum(room, 0), np.maximum(room, 0)
    if box is not None:
        ends = np.stack([np.floor(box[:2]), np.ceil(box[2:]) - window_wh]).astype(np.int64)
        inside = room > 0
        low = np.where(inside, np.clip(ends.min(axis=0), low, high), low)
        high = np.where(inside, np.clip(ends.max(axis=0), low, high), high)
    corner_xy = rng.integers(low, high, endpoint=True)
    return np.concatenate([corner_xy, corner_xy + window_wh])
