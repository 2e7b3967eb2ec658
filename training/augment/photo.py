"""What a camera does to a face: small rotations, and blur."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.augment.geometry import FILL_RGB
from training.augment.ignore import ignore_cut_off
from training.augment.sample import Sample
from tritonface_server.images import cv2

MOST_DEGREES = 12.0
BLUR_SIGMAS_PX = (0.4, 1.6)


def tilt(sample: Sample, rng: np.random.Generator, probability: float = 0.4) -> Sample:
    """Rotate the picture about its centre by up to `MOST_DEGREES`; corners that come from outside get the mean colour.

    A box becomes that around the rotated ellipse in it, which faces fill better than rectangles do.
    """
    chance, degrees = rng.random(), rng.uniform(-MOST_DEGREES, MOST_DEGREES)
    return rotate(sample, degrees) if chance < probability else sample


def rotate(sample: Sample, degrees: float) -> Sample:
    """As `tilt`, by an angle against the clock."""
    width, height = sample.size_wh
    # OpenCV has pixel centres at whole numbers, boxes have pixel corners there.
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    picture = cv2.warpAffine(
        sample.picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=FILL_RGB[::-1]
    )
    turn, middle = matrix[:, :2], np.array([width, height]) / 2
    boxes = sample.boxes_xyxy_px.astype(np.float64)
    centres_xy = ((boxes[:, :2] + boxes[:, 2:]) / 2 - middle) @ turn.T + middle
    half_wh = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (turn**2).T)
    boxes = np.concatenate([centres_xy - half_wh, centres_xy + half_wh], axis=1).astype(np.float32)
    return ignore_cut_off(Sample(picture, boxes, sample.labels))


def blur(sample: Sample, rng: np.random.Generator, probability: float = 0.15) -> Sample:
    """A picture slightly out of focus."""
    chance, sigma_px = rng.random(), rng.uniform(*BLUR_SIGMAS_PX)
    if chance >= probability:
        return sample
    return replace(sample, picture=cv2.GaussianBlur(sample.picture, (0, 0), sigma_px))
