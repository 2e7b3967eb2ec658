"""BlazeFace and BlazeFace-FPN-SSH: BlazeNet, a neck or none, and an SSD head on square priors."""

from __future__ import annotations

from typing import NamedTuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.networks.blazeneck import NECK_CHANNELS, BlazeNeck
from training.networks.blazenet import OUTPUT_CHANNELS, BlazeNet
from training.networks.layers import hard_swish

STRIDES_PX = (8, 16)
PRIOR_SIZES_PX = ((16, 24), (32, 48, 64, 80, 96, 128))
VARIANCES = (0.1, 0.2)  # of the centre and of the logarithm of the size


class FaceHead(nn.Layer):
    """One 3x3 convolution for boxes and one for scores on every level."""

    def __init__(self, in_channels: int, num_classes: int = 1) -> None:
        super().__init__()
        self.logits_per_prior = num_classes + 1
        self.boxes, self.scores = [], []
        for level, sizes_px in enumerate(PRIOR_SIZES_PX):
            priors = len(sizes_px)
            boxes = nn.Conv2D(in_channels, priors * 4, 3, padding=1)
            scores = nn.Conv2D(in_channels, priors * self.logits_per_prior, 3, padding=1)
            self.boxes.append(self.add_sublayer(f"boxes{level}", boxes))
            self.scores.append(self.add_sublayer(f"scores{level}", scores))

    def forward(self, features: list[paddle.Tensor]) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Offsets [N, A, 4] against the priors and logits [N, A, C + 1] of the classes and, last, the background."""
        offsets = [_per_prior(conv(x), 4) for conv, x in zip(self.boxes, features)]
        logits = [_per_prior(conv(x), self.logits_per_prior) for conv, x in zip(self.scores, features)]
        return paddle.concat(offsets, axis=1), paddle.concat(logits, axis=1)


class BlazeFaceOutputs(NamedTuple):
    """What the head gives, before decoding.

    Attributes:
        offsets: float32 [N, A, 4] against the priors.
        logits: float32 [N, A, C + 1] of the classes and, last, the background.
        priors_cxcywh_px: float32 [A, 4] in input pixels.
    """

    offsets: paddle.Tensor
    logits: paddle.Tensor
    priors_cxcywh_px: paddle.Tensor


class BlazeFace(nn.Layer):
    """Normalised images to boxes and scores, see `training.networks`.

    Args:
        fpn_ssh: with the FPN-SSH neck, as the detector "BlazeFace-FPN-SSH" has it.
    """

    def __init__(self, num_classes: int = 1, fpn_ssh: bool = False) -> None:
        super().__init__()
        self.backbone = BlazeNet(hard_swish if fpn_ssh else F.relu)
        self.neck = BlazeNeck(OUTPUT_CHANNELS) if fpn_ssh else None
        self.blaze_head = FaceHead(NECK_CHANNELS if fpn_ssh else OUTPUT_CHANNELS, num_classes)

    def outputs(self, images: paddle.Tensor) -> BlazeFaceOutputs:
        """Raw outputs for the loss; images are normalised, float32 [N, 3, H, W]."""
        features = self.backbone(images)
        if self.neck is not None:
            features = self.neck(features)
        return BlazeFaceOutputs(*self.blaze_head(features), prior_boxes_cxcywh_px(features, STRIDES_PX))

    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        offsets, logits, priors = self.outputs(images)
        return decode_boxes(offsets, priors), class_scores(logits)


def class_scores(logits: paddle.Tensor) -> paddle.Tensor:
    """Logits [N, A, C + 1], the background's last, to scores [N, A, C]; [N, A] for one class."""
    scores = F.softmax(logits, axis=-1)
    return scores[:, :, 0] if logits.shape[-1] == 2 else scores[:, :, :-1]


def prior_boxes_cxcywh_px(features: list[paddle.Tensor], strides: tuple[int, ...]) -> paddle.Tensor:
    """Square priors of all levels as (centre x, centre y, width, height) in input pixels, float32 [A, 4].

    Row by row, cell by cell, in each cell in the order of `PRIOR_SIZES_PX`; not clipped to the image. The grid
    follows the feature maps at run time, so that an exported graph takes any image size.
    """
    levels = []
    for feature, stride, sizes_px in zip(features, strides, PRIOR_SIZES_PX):
        rows, columns = paddle.shape(feature)[2], paddle.shape(feature)[3]
        y = (paddle.arange(rows, dtype="float32") + 0.5) * stride
        x = (paddle.arange(columns, dtype="float32") + 0.5) * stride
        grid_y, grid_x = paddle.meshgrid(y, x)  # [rows, columns] each
        none = grid_x * 0
        cells = paddle.stack([grid_x, grid_y, none, none], axis=-1).reshape([-1, 1, 4])
        priors = paddle.to_tensor([[0, 0, size, size] for size in sizes_px], dtype="float32")
        levels.append((cells + priors).reshape([-1, 4]))
    return paddle.concat(levels, axis=0)


def decode_boxes(offsets: paddle.Tensor, priors_cxcywh_px: paddle.Tensor) -> paddle.Tensor:
    """SSD's box decoding (Liu et al., "SSD: Single Shot MultiBox Detector", 2016): xyxy in input pixels, [N, A, 4]."""
    centre_xy = priors_cxcywh_px[:, :2] + VARIANCES[0] * offsets[:, :, :2] * priors_cxcywh_px[:, 2:]
    half_wh = 0.5 * priors_cxcywh_px[:, 2:] * paddle.exp(VARIANCES[1] * offsets[:, :, 2:])
    return paddle.concat([centre_xy - half_wh, centre_xy + half_wh], axis=-1)


def _per_prior(x: paddle.Tensor, values: int) -> paddle.Tensor:
    """[N, priors * values, H, W] to [N, H * W * priors, values]."""
    return x.transpose([0, 2, 3, 1]).reshape([0, -1, values])
