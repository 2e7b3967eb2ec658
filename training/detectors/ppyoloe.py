"""PP-YOLOE_plus-S_face: CSPResNet, CustomCSPPAN, an anchor-free head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.augment.colour import distort
from training.augment.crop import random_crop
from training.augment.geometry import expand, flip
from training.augment.sample import Augmentation
from training.detectors.description import Crowds, DetectorDescription
from tritonface_server.detector import NmsSettings

if TYPE_CHECKING:
    from training.losses.ppyoloe import PPYOLOELoss
    from training.networks.ppyoloe import PPYOLOE


def _network(num_classes: int = 1) -> PPYOLOE:
    from training.networks.ppyoloe import PPYOLOE

    return PPYOLOE(num_classes)


def _loss(**options: Any) -> PPYOLOELoss:
    from training.losses.ppyoloe import PPYOLOELoss

    return PPYOLOELoss(**options)


def _augmentations(image_size_px: int) -> tuple[Augmentation, ...]:
    """In the order of PaddleDetection's `ppyoloe_plus_reader.yml`."""
    return distort, expand, random_crop, flip


PP_YOLOE = DetectorDescription(
    name="PP-YOLOE_plus-S_face",
    input_size_wh=(640, 640),
    size_multiple=32,
    interpolation="cubic",
    mean_rgb=(0.0, 0.0, 0.0),
    std_rgb=(255.0, 255.0, 255.0),
    nms=NmsSettings(score_threshold=0.01, iou_threshold=0.7, top_k=1000, keep_top_k=300),
    build_network=_network,
    build_loss=_loss,
    static_assigner=True,
    augmentations=_augmentations,
    crowds=Crowds(smallest_face_px=5.0, learning_rate=0.0008),
    paddlex_architecture="YOLO",
)

DETECTORS = (PP_YOLOE,)
