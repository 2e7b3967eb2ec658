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
class DetectorDescription(Detector):
    """A detector with all its parts.

    Attributes:
        mean_rgb, std_rgb: the network sees `(rgb - mean) / std`, rgb in 0..255.
        build_network: a freshly initialised network, see `training.networks`.
        build_loss: its loss; keyword arguments are those of the loss.
        static_assigner: whether the loss can assign anchors to faces by distance in the first epochs.
        augmentations: the steps a picture goes through before it is resized to a square of that side in pixels.
        paddlex_architecture: PaddleX's name for the kind of network.
        paddlex_feeds_size: whether PaddleX feeds the network's input size to a detector of this name.
    """

    mean_rgb: tuple[float, float, float]
    std_rgb: tuple[float, float, float]
    build_network: Callable[[], nn.Layer]
    build_loss: Callable[..., Loss]
    augmentations: Callable[[int], tuple[Augmentation, ...]]
    paddlex_architecture: str
    paddlex_feeds_size: bool = False
    static_assigner: bool = False
