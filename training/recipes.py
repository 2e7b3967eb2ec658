"""Recipes of training: how pictures are made to learn from, with which loss and settings.

`reference` is PaddleX's and PaddleDetection's. `crowds` is how the shipped weights were trained: grids of tiles with
faces of many sizes, ignored regions, AdamW; its figures are those of the weights' cards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from training.augment import Augmentation, Sample, chain, resize_sample
from training.augment.crowds import compose_crowds
from training.augment.sample import Compose, Others
from training.detectors.description import DetectorDescription

if TYPE_CHECKING:
    from training.config_sections import Train
    from training.losses import Loss

CROWDS_SETTINGS: dict[str, Any] = {
    "epochs_iters": 20,
    "batch_size": 32,
    "optimizer": "adamw",
    "momentum": 0.9,
    "weight_decay": 0.03,
    "schedule": "cosine",
    "milestones": [],
    "warmup_steps": 100,
    "warmup_start_factor": 0.1,
    "decay_norm": False,
    "ema_decay": 0.9985,
    "ema_cycle_epochs": None,
    "static_assigner_epochs": None,
    "max_faces": 160,
    "image_sizes": [],  # at the size that is served: a detector trained at 320 px lost at 640
}


@dataclass(frozen=True)
class Recipe:
    """What the name in `Train.recipe` stands for.

    Attributes:
        settings_of: the values of `Train` that stand in place of those of `training/configs/`.
        compose_of: how a picture becomes one to learn from.
        loss_of: builds the loss; keyword arguments are those of the loss.
        takes_all: pictures without a face are background to learn from, and ignored boxes regions to learn nothing
            from; otherwise both are left out.
    """

    settings_of: Callable[[DetectorDescription], dict[str, Any]]
    compose_of: Callable[[DetectorDescription, Train], Compose]
    loss_of: Callable[[DetectorDescription], Callable[..., Loss]]
    takes_all: bool


def _compose_reference(
    sample: Sample, others: Others, rng: np.random.Generator, *, size_px: int, interpolation: int, augment: Augmentation
) -> Sample:
    return resize_sample(augment(sample, rng), size_px, interpolation)


REFERENCE = Recipe(
    settings_of=lambda detector: {},
    compose_of=lambda detector, train: partial(
        _compose_reference, augment=chain(detector.augmentations(train.image_size))
    ),
    loss_of=lambda detector: detector.build_loss,
    takes_all=False,
)
CROWDS = Recipe(
    settings_of=lambda detector: {**CROWDS_SETTINGS, "learning_rate": detector.crowds.learning_rate},
    compose_of=lambda detector, train: partial(
        compose_crowds, smallest_px=detector.crowds.smallest_face_px, most_faces=train.max_faces
    ),
    loss_of=lambda detector: detector.crowds.build_loss or detector.build_loss,
    takes_all=True,
)
RECIPES = {"reference": REFERENCE, "crowds": CROWDS}
