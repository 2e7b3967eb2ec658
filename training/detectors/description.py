"""What a detector is described by: the facts that serving needs, and the parts that training and exporting need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.augment.sample import Augmentation
from tritonface_server.detector import Detector

if TYPE_CHECKING:  # descriptions import Paddle when they build something, so that modes without it start at once
    from paddle import nn

    from training.losses import Loss


@dataclass(frozen=True, kw_only=True)
class Crowds:
    """What a detector has of its own in the recipe `crowds`, see `training.recipes`; a new one does with this.

    Attributes:
        smallest_face_px: at the network's input; smaller ones are ignored.
        learning_rate: after the warm-up, for batches of 32.
        build_loss: None: as in the reference.
    """

    smallest_face_px: float = 6.0
    learning_rate: float = 0.0015
    build_loss: Callable[..., Loss] | None = None


@dataclass(frozen=True, kw_only=True)
class DetectorDescription(Detector):
    """A detector with all its parts.

    Attributes:
        mean_rgb, std_rgb: the network sees `(rgb - mean) / std`, rgb in 0..255.
        build_network: a freshly initialised network, see `training.networks`, for so many classes, 1 if none are given.
        build_loss: its loss; keyword arguments are those of the loss.
        static_assigner: whether the loss can assign anchors to faces by distance in the first epochs.
        augmentations: those of the reference, before a picture is resized to a square of that side in pixels.
        crowds: what is its own in the recipe of that name.
        paddlex_architecture: PaddleX's name for the kind of network.
        paddlex_feeds_size: whether PaddleX feeds the network's input size to a detector of this name.
    """

    mean_rgb: tuple[float, float, float]
    std_rgb: tuple[float, float, float]
    build_network: Callable[..., nn.Layer]
    build_loss: Callable[..., Loss]
    augmentations: Callable[[int], tuple[Augmentation, ...]]
    paddlex_architecture: str
    paddlex_feeds_size: bool = False
    static_assigner: bool = False
    crowds: Crowds = Crowds()
