"""Tiny: four convolutions and an SSD head on square priors, the example of a new detector."""

from __future__ import annotations

from functools import partial

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.augment.colour import FACE_RANGES, distort
from training.augment.geometry import flip
from training.augment.sample import Augmentation
from training.detectors.description import DetectorDescription
from training.losses.ssd import SSDLoss
from training.networks.blazeface import BlazeFaceOutputs, FaceHead, class_scores, decode_boxes, prior_boxes_cxcywh_px
from training.networks.layers import ConvBN
from tritonface_server.detector import NmsSettings

STRIDES_PX = (8, 16)
CHANNELS = (8, 16, 16, 16)


class Tiny(nn.Layer):
    """Normalised images to boxes and scores, see `training.networks`."""

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.convs = nn.LayerList([ConvBN(*pair, 3, stride=2) for pair in zip((3, *CHANNELS), CHANNELS)])
        self.head = FaceHead(CHANNELS[-1], num_classes)

    def outputs(self, images: paddle.Tensor) -> BlazeFaceOutputs:
        """What the loss is computed from; images float32 [N, 3, H, W]."""
        features = [images]
        for conv in self.convs:
            features.append(F.relu(conv(features[-1])))
        levels = features[-len(STRIDES_PX) :]
        return BlazeFaceOutputs(*self.head(levels), prior_boxes_cxcywh_px(levels, STRIDES_PX))

    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        offsets, logits, priors = self.outputs(images)
        return decode_boxes(offsets, priors), class_scores(logits)


def augmentations(image_size_px: int) -> tuple[Augmentation, ...]:
    """The same at every size."""
    return partial(distort, ranges=FACE_RANGES), flip


TINY = DetectorDescription(
    name="Tiny",
    input_size_wh=(96, 96),
    size_multiple=16,
    interpolation="cubic",
    mean_rgb=(127.5, 127.5, 127.5),
    std_rgb=(127.5, 127.5, 127.5),
    nms=NmsSettings(score_threshold=0.05, iou_threshold=0.4, top_k=200, keep_top_k=20),
    score_threshold=0.3,
    build_network=Tiny,
    build_loss=SSDLoss,
    augmentations=augmentations,
    paddlex_architecture="Face",
)

DETECTORS = (TINY,)
