"""Random brightness, contrast, saturation and hue, in a single pass over the bytes of the picture.

Each of the four is an affine map of a pixel's RGB values, and so is what they make together: one 3x4 matrix. Since
nothing is rounded or cut off in between, contrast, saturation and hue may come in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from serving.images import cv2
from training.augment.sample import Sample

RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]])
YIQ_TO_RGB = np.linalg.inv(RGB_TO_YIQ)
REVERSED = [2, 1, 0]  # RGB to BGR and back


@dataclass(frozen=True)
class Jitter:
    """A number drawn evenly from `low` to `high`, with this probability; otherwise nothing is changed."""

    low: float
    high: float
    probability: float

    def draw(self, rng: np.random.Generator, neutral: float) -> float:
        """The number, or `neutral`; takes two numbers from `rng` in either case."""
        chance, value = rng.random(), rng.uniform(self.low, self.high)
        return value if chance < self.probability else neutral


@dataclass(frozen=True)
class ColourRanges:
    """How far colours are changed; the values here are the defaults of PaddleDetection's `RandomDistort`.

    Attributes:
        brightness: grey levels added.
        contrast: factor of the RGB values.
        saturation: factor of the distance from grey.
        hue_rad: angle by which colours turn around grey. PaddleDetection's -18..18 are half turns: any hue may result.
    """

    brightness: Jitter = Jitter(0.5, 1.5, 0.5)
    contrast: Jitter = Jitter(0.5, 1.5, 0.5)
    saturation: Jitter = Jitter(0.5, 1.5, 0.5)
    hue_rad: Jitter = Jitter(-18 * math.pi, 18 * math.pi, 0.5)


DEFAULT_RANGES = ColourRanges()
FACE_RANGES = replace(DEFAULT_RANGES, brightness=Jitter(0.5, 1.125, 0.125))
"""PaddleDetection's `face_reader.yml`: brightness [0.5, 1.125, 0.875], the last being the chance of no change."""


def distort(sample: Sample, rng: np.random.Generator, ranges: ColourRanges = DEFAULT_RANGES) -> Sample:
    """Change the colours at random; values are rounded and cut off at 0 and 255 once, at the end.

    Formula: PaddleDetection's `RandomDistort`, which turns hues in the plane I, Q of YIQ (NTSC, 1953).
    """
    brightness, contrast = ranges.brightness.draw(rng, 0.0), ranges.contrast.draw(rng, 1.0)
    saturation, hue_rad = ranges.saturation.draw(rng, 1.0), ranges.hue_rad.draw(rng, 0.0)
    if (brightness, contrast, saturation, hue_rad) == (0, 1, 1, 0):
        return sample
    picture = sample.picture
    if (saturation, hue_rad) == (1, 0):  # cv2.transform is some 20 times slower for diagonal matrices
        return replace(sample, picture=cv2.addWeighted(picture, contrast, picture, 0, contrast * brightness))
    matrix = colour_matrix(brightness, contrast, saturation, hue_rad)
    matrix[:, :3] = matrix[REVERSED][:, REVERSED]
    return replace(sample, picture=cv2.transform(picture, matrix))


def colour_matrix(brightness: float, contrast: float, saturation: float, hue_rad: float) -> np.ndarray:
    """float64 [3, 4]: the map of (R, G, B, 1) that adds the brightness and then does the three others."""
    linear = np.eye(3)
    if saturation != 1 or hue_rad != 0:
        cosine, sine = saturation * math.cos(hue_rad), saturation * math.sin(hue_rad)
        chroma = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        linear = YIQ_TO_RGB @ chroma @ RGB_TO_YIQ
    linear = contrast * linear
    return np.column_stack([linear, linear @ np.full(3, brightness)])
