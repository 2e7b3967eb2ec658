"""BlazeFace and BlazeFace-FPN-SSH: BlazeNet, a neck or none, an SSD head on square priors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from training.augment.anchor_sampling import crop_around_face
from training.augment.colour import FACE_RANGES, distort
from training.augment.geometry import expand, flip
from training.augment.sample import Augmentation
from training.detectors.description import DetectorDescription
from tritonface_server.detector import NmsSettings

if TYPE_CHECKING:
    from training.losses.ssd import SSDLoss
    from training.networks.blazeface import BlazeFace


def _network(num_classes: int = 1, fpn_ssh: bool = False) -> BlazeFace:
    from training.networks.blazeface import BlazeFace

    return BlazeFace(num_classes, fpn_ssh)


def _loss() -> SSDLoss:
    from training.losses.ssd import SSDLoss

    return SSDLoss()


def _augmentations(image_size_px: int) -> tuple[Augmentation, ...]:
    """PaddleDetection's `face_reader.yml`, but for the flip, which is before the expansion: as likely for less work."""
    return partial(distort, ranges=FACE_RANGES), flip, expand, partial(crop_around_face, size_px=image_size_px)


BLAZE_FACE = DetectorDescription(
    name="BlazeFace",
    input_size_wh=(640, 640),
    size_multiple=1,
    interpolation="cubic",
    mean_rgb=(123.0, 117.0, 104.0),
    std_rgb=(127.502231, 127.502231, 127.502231),
    nms=NmsSettings(score_threshold=0.01, iou_threshold=0.3, top_k=5000, keep_top_k=750),
    build_network=_network,
    build_loss=_loss,
    augmentations=_augmentations,
    paddlex_architecture="Face",
    paddlex_feeds_size=True,
)
BLAZE_FACE_FPN_SSH = replace(BLAZE_FACE, name="BlazeFace-FPN-SSH", build_network=partial(_network, fpn_ssh=True))

DETECTORS = (BLAZE_FACE, BLAZE_FACE_FPN_SSH)
