"""Boxes that become ignored: cut off, too small, too large, or one too many; and where nothing is to be learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from training.augment.sample import IGNORED, Sample

LEAST_VISIBLE = 0.6  # of a face's area, for it to be learnt
SMALLEST_REGION_PX = 8
"""The cells of the finest feature maps; smaller regions would slip between their centres."""


def ignore(sample: Sample, chosen: np.ndarray) -> Sample:
    """The sample with the boxes of the mask `chosen`, bool [K], ignored."""
    return replace(sample, labels=np.where(chosen, IGNORED, sample.labels)) if chosen.any() else sample


def face_sizes_px(sample: Sample) -> np.ndarray:
    """The side of a square as large as each box, float32 [K]."""
    boxes = sample.boxes_xyxy_px
    return np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def ignore_cut_off(sample: Sample) -> Sample:
    """Clip the boxes to the picture, ignore those of which too little is left, drop those of which nothing is.

    Args:
        sample: boxes may leave the picture.
    """
    whole, size_wh = sample.boxes_xyxy_px, np.float32(sample.size_wh)
    boxes = np.clip(whole, 0, np.tile(size_wh, 2))
    areas, whole_areas = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, whole))
    sample = ignore(replace(sample, boxes_xyxy_px=boxes), areas < LEAST_VISIBLE * whole_areas)
    return sample.where((boxes[:, :2] < boxes[:, 2:]).all(axis=1))


def ignore_sizes(sample: Sample, smallest_px: float, largest_px: float) -> Sample:
    """Ignore boxes smaller or larger than that."""
    sizes = face_sizes_px(sample)
    return ignore(sample, (sizes < smallest_px) | (sizes > largest_px))


def ignore_beyond(sample: Sample, most: int | None) -> Sample:
    """Ignore all faces but the `most` largest; None: none of them."""
    faces = np.flatnonzero(sample.is_face)
    if most is None or len(faces) <= most:
        return sample
    by_size = faces[np.argsort(-face_sizes_px(sample)[faces], kind="stable")]
    chosen = np.zeros(len(sample.labels), bool)
    chosen[by_size[most:]] = True
    return ignore(sample, chosen)


def ignored_pixels(samples: Sequence[Sample]) -> np.ndarray | None:
    """Where nothing is to be learnt in pictures of one size: bool [N, H, W]; None if there is no such place."""
    if all(sample.is_face.all() for sample in samples):
        return None
    width, height = samples[0].size_wh
    mask = np.zeros((len(samples), height, width), bool)
    for pixels, sample in zip(mask, samples):
        boxes = sample.boxes_xyxy_px[~sample.is_face]
        missing = np.maximum(SMALLEST_REGION_PX - (boxes[:, 2:] - boxes[:, :2]), 0) / 2
        corners = np.concatenate([np.floor(boxes[:, :2] - missing), np.ceil(boxes[:, 2:] + missing)], axis=1)
        for x0, y0, x1, y1 in corners.clip(min=0).astype(np.int64).tolist():
            pixels[y0:y1, x0:x1] = True
    return mask
