"""PicoDet_LCNet_x2_5_face: LCNet, CSP-PAN and an anchor-free head that predicts each side's distance as a distribution.

Architecture: Yu et al., "PP-PicoDet", 2021; distributions over distances: Li et al., "Generalized Focal Loss", 2020.
Layer names are those of the Paddle detector's state dict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.box_ops import expected_distance, ltrb_to_xyxy
from training.networks.csp_pan import CHANNELS, CSPPAN
from training.networks.layers import same_conv, undecayed_batch_norm
from training.networks.lcnet import OUTPUT_CHANNELS, LCNet

STRIDES_PX = (8, 16, 32, 64)
LONGEST_SIDE_CELLS = 7  # the furthest a box can reach from its cell's centre
BINS = LONGEST_SIDE_CELLS + 1
CONVOLUTIONS_PER_LEVEL = 4
PRIOR_FACE_PROBABILITY = 0.01


class PicoDetOutputs(NamedTuple):
    """What the head says about every cell, levels in order of their strides and row by row.

    Attributes:
        class_logits: float32 [N, A], or [N, A, C] of several classes.
        side_logits: float32 [N, A, 4, 8], over the distances 0..7 cells to the left, top, right and bottom side.
        sides_ltrb_cells: float32 [N, A, 4], the expected distances in cells.
        centres_xy_px: float32 [A, 2], of the cells in input pixels.
        strides_px: float32 [A, 1], the size of a cell.
    """

    class_logits: paddle.Tensor
    side_logits: paddle.Tensor
    sides_ltrb_cells: paddle.Tensor
    centres_xy_px: paddle.Tensor
    strides_px: paddle.Tensor


class ConvNorm(nn.Layer):
    """Convolution without bias, batch norm free of weight decay, hard-swish; same padding for odd kernels."""

    def __init__(self, channels: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = same_conv(channels, channels, kernel, groups=groups, initializer=nn.initializer.Normal(std=0.01))
        self.norm = undecayed_batch_norm(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.hardswish(self.norm(self.conv(x)))


class LevelFeatures(nn.Layer):
    """Depthwise-separable convolutions, separate for each level, shared by its scores and boxes."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.convs = [[] for _ in range(levels)]
        for level, convs in enumerate(self.convs):
            for i in range(CONVOLUTIONS_PER_LEVEL):
                depthwise, pointwise = ConvNorm(CHANNELS, 5, groups=CHANNELS), ConvNorm(CHANNELS, 1)
                convs.append(self.add_sublayer(f"cls_conv_dw{level}.{i}", depthwise))
                convs.append(self.add_sublayer(f"cls_conv_pw{level}.{i}", pointwise))

    def forward(self, x: paddle.Tensor, level: int) -> paddle.Tensor:
        """[N, 128, h, w] to the same shape."""
        for conv in self.convs[level]:
            x = conv(x)
        return x


class SideScale(nn.Layer):
    """A scale that the state dict holds and no computation uses."""

    def __init__(self) -> None:
        super().__init__()
        self.scale_reg = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))


class DistanceBins(nn.Layer):
    """Logits over distances to the expected distance."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("project", paddle.arange(BINS, dtype="float32"))

    def forward(self, side_logits: paddle.Tensor) -> paddle.Tensor:
        """[..., 8] to [...], in cells."""
        return expected_distance(side_logits, self.project)


class PicoHead(nn.Layer):
    """Feature maps of 128 channels to class and side logits."""

    def __init__(self, levels: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.conv_feat = LevelFeatures(levels)
        self.distribution_project = DistanceBins()
        self.predictors = []
        for level in range(levels):
            self.add_sublayer(f"p{level + 3}_feat", SideScale())
            predictor = nn.Conv2D(
                CHANNELS,
                num_classes + 4 * BINS,
                1,
                weight_attr=paddle.ParamAttr(initializer=nn.initializer.Normal(std=0.01)),
                bias_attr=paddle.ParamAttr(initializer=nn.initializer.Constant(_logit(PRIOR_FACE_PROBABILITY))),
            )
            self.predictors.append(self.add_sublayer(f"head_cls{level}", predictor))

    def forward(self, features: Sequence[paddle.Tensor]) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Class logits [N, A], or [N, A, C] of several classes, and side logits [N, A, 4, 8]."""
        levels, classes = [], self.num_classes
        for level, (predictor, x) in enumerate(zip(self.predictors, features)):
            x = predictor(self.conv_feat(x, level))  # [N, C + 32, h, w]
            levels.append(x.transpose([0, 2, 3, 1]).reshape([0, -1, classes + 4 * BINS]))  # [N, h * w, C + 32]
        cells = paddle.concat(levels, axis=1)  # [N, A, C + 32]
        class_logits = cells[:, :, 0] if classes == 1 else cells[:, :, :classes]
        return class_logits, cells[:, :, classes:].reshape([0, -1, 4, BINS])


class PicoDet(nn.Layer):
    """Normalised images to boxes and scores, see `training.networks`.

    Attributes:
        rows_for_boxes: how many outputs of a convolution for classes are not theirs; they are the last ones.
    """

    rows_for_boxes = 4 * BINS

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.backbone = LCNet()
        self.neck = CSPPAN(OUTPUT_CHANNELS)
        self.head = PicoHead(len(STRIDES_PX), num_classes)

    def outputs(self, images: paddle.Tensor) -> PicoDetOutputs:
        """What the training loss is computed from; images float32 [N, 3, H, W]."""
        features = self.neck(self.backbone(images))
        class_logits, side_logits = self.head(features)
        sides = self.head.distribution_project(side_logits)
        return PicoDetOutputs(class_logits, side_logits, sides, *cells_px(features, STRIDES_PX))

    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        cells = self.outputs(images)
        boxes = ltrb_to_xyxy(cells.centres_xy_px, cells.sides_ltrb_cells * cells.strides_px)
        return boxes, F.sigmoid(cells.class_logits)


def cells_px(features: Sequence[paddle.Tensor], strides: Sequence[int]) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Centres (x, y) [A, 2] and strides [A, 1] of the cells of all levels in input pixels, row by row.

    The grid follows the feature maps at run time, so that an exported graph takes any image size.
    """
    centres, sizes = [], []
    for feature, stride in zip(features, strides):
        rows, columns = paddle.shape(feature)[2], paddle.shape(feature)[3]
        y = (paddle.arange(rows, dtype="float32") + 0.5) * stride
        x = (paddle.arange(columns, dtype="float32") + 0.5) * stride
        grid_y, grid_x = paddle.meshgrid(y, x)  # [rows, columns] each
        centres.append(paddle.stack([grid_x, grid_y], axis=-1).reshape([-1, 2]))
        sizes.append((grid_x * 0 + stride).reshape([-1, 1]))
    return paddle.concat(centres, axis=0), paddle.concat(sizes, axis=0)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
