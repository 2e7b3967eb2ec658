"""The one table of which detector is trained with which augmentations, in which order.

The orders are those of PaddleDetection's `face_reader.yml` and `ppyoloe_plus_reader.yml` and, for PicoDet, of PaddleX's
`PicoDet_LCNet_x2_5_face.yaml`. The resize that ends each of them is the reader's, one size for a whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from training.augment.anchor_sampling import crop_around_face
from training.augment.colour import FACE_RANGES, distort
from training.augment.crop import random_crop
from training.augment.geometry import expand, flip
from training.augment.sample import Augmentation, Sample
from tritonface_server.detectors import get_detector


def blaze_face_steps(image_size_px: int) -> tuple[Augmentation, ...]:
    """`face_reader.yml`, but for the flip, which is before the expansion: as likely a result for less work."""
    return partial(distort, ranges=FACE_RANGES), flip, expand, partial(crop_around_face, size_px=image_size_px)


CHAINS: dict[str, Callable[[int], tuple[Augmentation, ...]]] = {
    "BlazeFace": blaze_face_steps,
    "BlazeFace-FPN-SSH": blaze_face_steps,
    "PicoDet_LCNet_x2_5_face": lambda image_size_px: (random_crop, flip, distort),
    "PP-YOLOE_plus-S_face": lambda image_size_px: (distort, expand, random_crop, flip),
}


def build_augmentation(name: str, image_size_px: int) -> Augmentation:
    """The augmentations a detector is trained with.

    Args:
        image_size_px: the side of the square the samples will be resized to; face sizes are judged at it.

    Raises:
        ValueError: no detector is called `name`, or the size is not positive.
    """
    if image_size_px < 1:
        raise ValueError(f"image_size_px is {image_size_px}; it must be 1 or more")
    return partial(apply_steps, steps=CHAINS[get_detector(name).name](image_size_px))


def apply_steps(sample: Sample, rng: np.random.Generator, steps: tuple[Augmentation, ...]) -> Sample:
    """One augmentation after the other, all drawing from `rng`."""
    for step in steps:
        sample = step(sample, rng)
    return sample
