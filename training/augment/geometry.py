"""Augmentations that move picture and boxes together: crop to a window, flip, expand, resize."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from training.augment.sample import Sample
from tritonface_server.images import cv2, resize

FILL_RGB = (123.675, 116.28, 103.53)
MAX_CANVAS_PIXELS = 2**24
"""An expanded picture larger than this is made smaller; a megapixel expanded to 16 just fits."""


def crop_to(sample: Sample, window_xyxy_px: np.ndarray) -> Sample:
    """The part of the picture inside a window, whole pixels and inside the picture; a view.

    Boxes whose centre is outside go, the others are clipped, which is how PaddleDetection crops.
    """
    x0, y0, x1, y1 = window_xyxy_px.tolist()
    boxes = sample.boxes_xyxy_px - np.float32([x0, y0, x0, y0])
    return keep_inside(Sample(sample.picture[y0:y1, x0:x1], boxes, sample.labels))


def keep_inside(sample: Sample) -> Sample:
    """Drop boxes whose centre is not in the picture, clip the others to it, drop what is then empty."""
    boxes, size_wh = sample.boxes_xyxy_px, np.float32(sample.size_wh)
    centres_xy = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres_xy >= 0) & (centres_xy < size_wh)).all(axis=1)
    boxes = np.clip(boxes, 0, np.tile(size_wh, 2))
    return replace(sample, boxes_xyxy_px=boxes).where(inside & (boxes[:, :2] < boxes[:, 2:]).all(axis=1))


def cut_and_resize(
    sample: Sample,
    window_xyxy_px: np.ndarray,
    size_wh: tuple[int, int],
    interpolation: int,
    fill_rgb: tuple[float, float, float],
) -> Sample:
    """A window, stretched to a size; only what is inside the picture is resized, however large the window is.

    Boxes may leave the result: see `keep_inside`, and `training.augment.ignore.ignore_cut_off`.

    Args:
        window_xyxy_px: whole pixels; it may leave the picture, but not lie beside it.
        interpolation: one of OpenCV's `cv2.INTER_...`.
        fill_rgb: what is outside the picture.
    """
    corner_xy, window_wh = window_xyxy_px[:2], window_xyxy_px[2:] - window_xyxy_px[:2]
    x0, y0, x1, y1 = cut = np.clip(window_xyxy_px, 0, np.tile(sample.size_wh, 2))
    scale_xy = np.array(size_wh) / window_wh
    left, top, right, bottom = pasted = np.rint((cut - np.tile(corner_xy, 2)) * np.tile(scale_xy, 2)).astype(np.int64)
    canvas = np.full((size_wh[1], size_wh[0], 3), np.array(fill_rgb[::-1], np.uint8), np.uint8)
    if right > left and bottom > top:
        part = sample.picture[y0:y1, x0:x1]
        canvas[top:bottom, left:right] = cv2.resize(part, (right - left, bottom - top), interpolation=interpolation)
    scale_xy = (pasted[2:] - pasted[:2]) / (cut[2:] - cut[:2])  # that of the pasted part, its sides being rounded
    boxes = (sample.boxes_xyxy_px - np.tile(cut[:2], 2)) * np.tile(scale_xy, 2) + np.tile(pasted[:2], 2)
    return Sample(canvas, boxes.astype(np.float32), sample.labels)


def flip(sample: Sample, rng: np.random.Generator, probability: float = 0.5) -> Sample:
    """Exchange left and right; the probability is the default of PaddleDetection's `RandomFlip`."""
    if rng.random() >= probability:
        return sample
    x0, y0, x1, y1 = sample.boxes_xyxy_px.T
    width = np.float32(sample.size_wh[0])
    boxes = np.stack([width - x1, y0, width - x0, y1], axis=1)
    # Subtraction may round a very narrow box to nothing.
    return keep_inside(replace(sample, picture=cv2.flip(sample.picture, 1), boxes_xyxy_px=boxes))


def expand(sample: Sample, rng: np.random.Generator, largest_ratio: float = 4.0, probability: float = 0.5) -> Sample:
    """Put the picture somewhere on a canvas of the mean colour, 1 to `largest_ratio` times as wide and high.

    Ratio and probability are the defaults of PaddleDetection's `RandomExpand`; the colour, `FILL_RGB`, is that of its
    `face_reader.yml` and `ppyoloe_plus_reader.yml`. Here the canvas has `MAX_CANVAS_PIXELS` at most.
    """
    if rng.random() >= probability:
        return sample
    ratio = rng.uniform(1, largest_ratio)
    shrink = math.sqrt(MAX_CANVAS_PIXELS / math.prod(sample.size_wh)) / ratio
    if shrink < 1:
        width, height = (max(1, int(side * shrink)) for side in sample.size_wh)
        sample = stretch(sample, (width, height), cv2.INTER_AREA)
    right, bottom = (int(side * ratio) - side for side in sample.size_wh)
    left, top = rng.integers(right + 1), rng.integers(bottom + 1)
    picture = cv2.copyMakeBorder(
        sample.picture, top, bottom - top, left, right - left, cv2.BORDER_CONSTANT, value=FILL_RGB[::-1]
    )
    return keep_inside(Sample(picture, sample.boxes_xyxy_px + np.float32([left, top, left, top]), sample.labels))


def resize_sample(sample: Sample, size_px: int, interpolation: str | int) -> Sample:
    """Stretch picture and boxes to a square of `size_px`; aspect ratio not kept.

    Args:
        interpolation: a name of `tritonface_server.images.INTERPOLATIONS`, or one of OpenCV's `cv2.INTER_...`.
    """
    return stretch(sample, (size_px, size_px), interpolation)


def stretch(sample: Sample, size_wh: tuple[int, int], interpolation: str | int) -> Sample:
    """As `resize_sample`, to any (width, height)."""
    if sample.size_wh == size_wh:
        return sample
    if isinstance(interpolation, str):
        picture = resize(sample.picture, size_wh, interpolation)
    else:
        picture = cv2.resize(sample.picture, size_wh, interpolation=interpolation)
    scale_xy = np.divide(size_wh, sample.size_wh)
    boxes = (sample.boxes_xyxy_px * np.tile(scale_xy, 2)).astype(np.float32)
    return keep_inside(Sample(picture, boxes, sample.labels))
