"""Random crops that must keep a face: the one of SSD, with a least overlap."""

from __future__ import annotations

import numpy as np

from training.augment.geometry import crop_to
from training.augment.sample import Sample

IOU_THRESHOLDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
SCALES = (0.3, 1.0)
ASPECT_RATIOS = (0.5, 2.0)  # of the window's share of the width to its share of the height
ATTEMPTS = 50


def random_crop(sample: Sample, rng: np.random.Generator) -> Sample:
    """A part of the picture that overlaps a box by a random least IoU and has a box's centre in it; or all of it.

    The thresholds and "no crop" are tried in random order, each with `ATTEMPTS` windows. Method: Liu et al., "SSD:
    Single Shot MultiBox Detector", 2016, section 2.2; numbers: the defaults of PaddleDetection's `RandomCrop`.
    """
    boxes = sample.boxes_xyxy_px
    if len(boxes) == 0:
        return sample
    centres_xy = (boxes[:, :2] + boxes[:, 2:]) / 2
    for choice in rng.permutation(len(IOU_THRESHOLDS) + 1):
        if choice == len(IOU_THRESHOLDS):
            break
        windows = draw_windows(sample.size_wh, rng)
        overlapping = pairwise_iou(windows, boxes).max(axis=1) >= IOU_THRESHOLDS[choice]
        inside = (windows[:, None, :2] <= centres_xy) & (centres_xy < windows[:, None, 2:])
        good = overlapping & inside.all(axis=2).any(axis=1)
        if good.any():
            return crop_to(sample, windows[good.argmax()])
    return sample


def draw_windows(size_wh: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """int64 [ATTEMPTS, 4]: windows in whole pixels inside a picture, xyxy, none of them empty."""
    scales = rng.uniform(*SCALES, ATTEMPTS)
    # Within these limits neither side of the window is longer than the picture's.
    narrowest = np.maximum(ASPECT_RATIOS[0], scales**2)
    widest = np.minimum(ASPECT_RATIOS[1], scales**-2)
    stretches = np.sqrt(rng.uniform(narrowest, widest))
    shares_wh = np.stack([scales * stretches, scales / stretches], axis=1)
    sides_wh = np.clip((shares_wh * size_wh).astype(np.int64), 1, size_wh)
    corners_xy = rng.integers(0, np.array(size_wh) - sides_wh, endpoint=True)
    return np.concatenate([corners_xy, corners_xy + sides_wh], axis=1)


def pairwise_iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of boxes, none of them empty: [A, 4] and [B, 4] to [A, B]."""
    shared_wh = np.minimum(a_xyxy[:, None, 2:], b_xyxy[:, 2:]) - np.maximum(a_xyxy[:, None, :2], b_xyxy[:, :2])
    shared = shared_wh.clip(min=0).prod(axis=2)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a_xyxy, b_xyxy))
    return shared / (area_a[:, None] + area_b - shared)
