"""PicoDet_LCNet_x2_5_face: LCNet, CSP-PAN, an anchor-free head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.augment.colour import distort
from training.augment.crop import random_crop
from training.augment.geometry import flip
from training.augment.sample import Augmentation
from training.detectors.description import Crowds, DetectorDescription
from tritonface_server.detector import NmsSettings

if TYPE_CHECKING:
    from training.losses import Loss
    from training.losses.picodet import PicoDetLoss
    from training.networks.picodet import PicoDet


def _network(num_classes: int = 1) -> PicoDet:
    from training.networks.picodet import PicoDet

    return PicoDet(num_classes)


def _loss() -> PicoDetLoss:
    from training.losses.picodet import PicoDetLoss

    return PicoDetLoss()


def _crowds_loss() -> Loss:
    from training.losses.picodet import task_aligned_loss

    return task_aligned_loss


def _augmentations(image_size_px: int) -> tuple[Augmentation, ...]:
    """In the order of PaddleX's `PicoDet_LCNet_x2_5_face.yaml`."""
    return random_crop, flip, distort


PICODET = DetectorDescription(
    name="PicoDet_LCNet_x2_5_face",
    input_size_wh=(640, 640),
    size_multiple=32,
    interpolation="cubic",
    mean_rgb=(123.675, 116.28, 103.53),
    std_rgb=(58.395, 57.12, 57.375),
    nms=NmsSettings(score_threshold=0.025, iou_threshold=0.6, top_k=1000, keep_top_k=100),
    build_network=_network,
    build_loss=_loss,
    augmentations=_augmentations,
    crowds=Crowds(learning_rate=0.0014, build_loss=_crowds_loss),
    paddlex_architecture="PicoDet",
)

DETECTORS = (PICODET,)
