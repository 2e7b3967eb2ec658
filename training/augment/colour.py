"""Random brightness, contrast, saturation and hue, each in whole passes of OpenCV over the bytes of the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.augment.sample import Sample
from tritonface_server.images import cv2

GREY_OF_BGR = np.array([0.114, 0.587, 0.299])
"""ITU-R BT.601, as OpenCV and Pillow have it."""


@dataclass(frozen=True)
class Jitter:
    """A number drawn evenly from `low` to `high`, with this probability; otherwise nothing is changed."""

    low: float
    high: float
    probability: float

    def draw(self, rng: np.random.Generator) -> float | None:
        """The number, or None; takes two numbers from `rng` in either case."""
        chance, value = rng.random(), rng.uniform(self.low, self.high)
        return value if chance < self.probability else None


@dataclass(frozen=True)
class ColourRanges:
    """How far colours are changed; the values here are the defaults of PaddleDetection's `RandomDistort`.

    Attributes:
        brightness: factor of the values.
        contrast: factor of their distance from the picture's mean grey.
        saturation: factor of their distance from their own grey.
        hue: added to the hue, a turn being 256.
        orders: of brightness, contrast, saturation and hue (0 to 3), all as likely; none given: any order.
    """

    brightness: Jitter = Jitter(0.5, 1.5, 0.5)
    contrast: Jitter = Jitter(0.5, 1.5, 0.5)
    saturation: Jitter = Jitter(0.5, 1.5, 0.5)
    hue: Jitter = Jitter(-18.0, 18.0, 0.5)
    orders: tuple[tuple[int, ...], ...] = ()


DEFAULT_RANGES = ColourRanges()
FACE_RANGES = ColourRanges(brightness=Jitter(0.5, 1.125, 0.125), orders=((0, 1, 2, 3), (0, 2, 3, 1)))
"""PaddleDetection's `face_reader.yml`: brightness [0.5, 1.125, 0.875], the last being the chance of no change; SSD's
order, with the contrast second or last."""


def distort(sample: Sample, rng: np.random.Generator, ranges: ColourRanges = DEFAULT_RANGES) -> Sample:
    """Change brightness, contrast, saturation and hue at random, as PaddleDetection's `RandomDistort` does.

    After each of them values are rounded and cut off at 0 and 255.
    """
    steps = (
        (brighten, ranges.brightness),
        (scale_contrast, ranges.contrast),
        (saturate, ranges.saturation),
        (turn_hue, ranges.hue),
    )
    picture = sample.picture
    order = ranges.orders[rng.integers(len(ranges.orders))] if ranges.orders else rng.permutation(len(steps))
    for index in order:
        change, jitter = steps[index]
        value = jitter.draw(rng)
        if value is not None:
            picture = change(picture, value)
    return sample if picture is sample.picture else replace(sample, picture=picture)


def brighten(picture: np.ndarray, factor: float) -> np.ndarray:
    """All values times a factor."""
    return _scale_and_add(picture, factor, 0.0)


def scale_contrast(picture: np.ndarray, factor: float) -> np.ndarray:
    """All values away from the mean grey of the picture, or towards it."""
    mean_grey = cv2.mean(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))[0]
    return _scale_and_add(picture, factor, (1 - factor) * mean_grey)


def saturate(picture: np.ndarray, factor: float) -> np.ndarray:
    """Each pixel away from its own grey, or towards it."""
    return cv2.transform(picture, factor * np.eye(3) + (1 - factor) * GREY_OF_BGR)


def turn_hue(picture: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue of HSV, 256 being a whole turn; value and saturation stay."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV_FULL)
    hsv[..., 0] += np.uint8(round(shift) % 256)  # bytes wrap around, as hues do
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)


def _scale_and_add(picture: np.ndarray, factor: float, summand: float) -> np.ndarray:
    # An order of magnitude faster than cv2.transform with a diagonal matrix, and than a table of 256 values.
    return cv2.addWeighted(picture, factor, picture, 0, summand)
