"""Augmentations as pure functions: a sample and a generator of random numbers to a new sample."""

from training.augment.chain import chain
from training.augment.geometry import resize_sample
from training.augment.sample import Augmentation, Sample

__all__ = ["Augmentation", "Sample", "chain", "resize_sample"]
