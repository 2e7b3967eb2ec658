"""Several augmentations as one."""

from __future__ import annotations

from functools import partial

import numpy as np

from training.augment.sample import Augmentation, Sample


def chain(steps: tuple[Augmentation, ...]) -> Augmentation:
    """One augmentation after the other, all drawing from the same random numbers."""
    return partial(apply_steps, steps=steps)


def apply_steps(sample: Sample, rng: np.random.Generator, steps: tuple[Augmentation, ...]) -> Sample:
    """The sample after all steps."""
    for step in steps:
        sample = step(sample, rng)
    return sample
