"""Data-anchor sampling: scale a random face to the size of a random anchor, so that small anchors learn too.

Tang et al., "PyramidBox: A Context-assisted Single Shot Face Detector", 2018, section 3.4. All numbers are those of
PaddleDetection's `CropWithDataAchorSampling` as its `face_reader.yml` uses it.
"""

from __future__ import annotations

import math

import numpy as np

from training.augment.geometry import crop_to, cut_and_resize, keep_inside
from training.augment.sample import Sample
from tritonface_server.images import cv2

ANCHORS_PX = np.array([16.0, 32.0, 64.0, 128.0])
SMALLEST_FACE_PX = 8.0
LEAST_COVERAGE, WINDOW_ATTEMPTS = 0.2, 10
CROP_SCALES = ((1.0, 1.0), (0.3, 1.0), (0.3, 1.0), (0.3, 1.0), (0.3, 1.0))  # of the picture's shorter side
CROP_ATTEMPTS = 50
BLACK = (0.0, 0.0, 0.0)


def crop_around_face(sample: Sample, rng: np.random.Generator, size_px: int, probability: float = 0.5) -> Sample:
    """Data-anchor sampling with this probability, a square crop that has a whole face in it otherwise.

    Faces of less than `SMALLEST_FACE_PX` squared, after a resize to `size_px`, are dropped. Where no face would be
    left, the sample stays as it is.

    Args:
        size_px: the network will see a square of this side.
    """
    if len(sample.boxes_xyxy_px) == 0:
        return sample
    if rng.random() < probability:
        return scale_to_anchor(sample, rng, size_px)
    return square_crop(sample, rng, size_px)


def scale_to_anchor(sample: Sample, rng: np.random.Generator, size_px: int) -> Sample:
    """A square window with a random face in it, resized to `size_px` so that the face has a size near an anchor's.

    What of the window is outside the picture becomes black.
    """
    boxes = sample.boxes_xyxy_px.astype(np.float64)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    for _ in range(WINDOW_ATTEMPTS):
        window = draw_window(boxes[rng.integers(len(boxes))], sample.size_wh, rng, size_px)
        shared_wh = np.minimum(boxes[:, 2:], window[2:]) - np.maximum(boxes[:, :2], window[:2])
        if (shared_wh.clip(min=0).prod(axis=1) >= LEAST_COVERAGE * area).any():
            scaled = cut_and_resize(sample, window, (size_px, size_px), cv2.INTER_AREA, BLACK)
            scaled = _without_small_faces(keep_inside(scaled), size_px)
            return scaled if len(scaled.labels) else sample
    return sample


def draw_window(
    face_xyxy_px: np.ndarray, size_wh: tuple[int, int], rng: np.random.Generator, size_px: int
) -> np.ndarray:
    """int64 [4]: a square window in which the face has the width of `draw_face_px` once resized to `size_px`.

    It contains the face or, when longer than both sides of the picture, the picture; it may leave the picture.
    """
    face_wh = face_xyxy_px[2:] - face_xyxy_px[:2]
    wanted_px = draw_face_px(math.sqrt(face_wh.prod()), rng)
    side_px = max(1, round(face_wh[0] * size_px / wanted_px))
    if side_px < max(size_wh):
        ends_xy = np.stack([face_xyxy_px[:2], face_xyxy_px[2:] - side_px])
    else:
        ends_xy = np.stack([np.zeros(2), np.array(size_wh) - side_px])
    corner_xy = np.floor(rng.uniform(ends_xy.min(axis=0), ends_xy.max(axis=0))).astype(np.int64)
    corner_xy = np.clip(corner_xy, 1 - side_px, np.array(size_wh) - 1)  # of a sliver of a face at least a pixel stays
    return np.concatenate([corner_xy, corner_xy + side_px])


def draw_face_px(face_px: float, rng: np.random.Generator) -> float:
    """Half to twice a random anchor, of those up to the first that is larger than the face.

    At that one twice the face's size is a limit too. The largest anchor is never drawn, as in the reference.
    """
    last = min(int(np.searchsorted(ANCHORS_PX, face_px)), len(ANCHORS_PX) - 2)
    choice = rng.integers(last + 1)
    limits = ANCHORS_PX[choice] / 2, 2 * ANCHORS_PX[choice]
    if choice == last:
        limits = limits[0], min(limits[1], 2 * face_px)
    return rng.uniform(min(limits), max(limits))


def square_crop(sample: Sample, rng: np.random.Generator, size_px: int) -> Sample:
    """A square part of the picture with at least one whole face in it, not resized."""
    boxes = sample.boxes_xyxy_px
    found = []
    for scales in CROP_SCALES:
        sides = np.maximum(1, rng.uniform(*scales, CROP_ATTEMPTS) * min(sample.size_wh)).astype(np.int64)[:, None]
        corners_xy = rng.integers(0, np.array(sample.size_wh) - sides, endpoint=True)
        windows = np.concatenate([corners_xy, corners_xy + sides], axis=1)
        whole = (windows[:, None, :2] <= boxes[:, :2]) & (boxes[:, 2:] <= windows[:, None, 2:])
        good = whole.all(axis=2).any(axis=1)
        if good.any():
            found.append(windows[good.argmax()])
    for index in rng.permutation(len(found)):
        cropped = _without_small_faces(crop_to(sample, found[index]), size_px)
        if len(cropped.labels):
            return cropped
    return sample


def _without_small_faces(sample: Sample, size_px: int) -> Sample:
    scale_xy = size_px / np.array(sample.size_wh)
    sides_wh = (sample.boxes_xyxy_px[:, 2:] - sample.boxes_xyxy_px[:, :2]) * scale_xy
    return sample.where(sides_wh.prod(axis=1) >= SMALLEST_FACE_PX**2)
