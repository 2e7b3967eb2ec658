"""PP-YOLOE+: CSPResNet, CustomCSPPAN and an anchor-free head that predicts a distribution for every side of a box.

Head: Xu et al., "PP-YOLOE: An evolved version of YOLO", 2022; distributions over distances after Li et al.,
"Generalized Focal Loss", 2020. Layer names are those of the state dicts of the Paddle detectors.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.box_ops import expected_distance, ltrb_to_xyxy
from training.networks import csp_resnet, custom_csp_pan

STRIDES_PX = (32, 16, 8)  # in the order of the raw outputs
BINS = 17  # a side lies 0..16 cells from its anchor point
FACE_PRIOR = 0.01  # score of every anchor before training


class Outputs(NamedTuple):
    """What the loss needs, for the A anchor points of all levels, level by level in the order of the strides.

    Attributes:
        scores: float32 [N, A], or [N, A, C] of several classes, in 0..1.
        side_logits: float32 [N, A, 4, BINS], of the distances to left, top, right and bottom in cells.
        boxes_xyxy_cells: float32 [N, A, 4] in cells of the anchor's own level.
        points_xy_px: float32 [A, 2], centres of the cells in input pixels.
        strides_px: float32 [A, 1], pixels per cell.
    """

    scores: paddle.Tensor
    side_logits: paddle.Tensor
    boxes_xyxy_cells: paddle.Tensor
    points_xy_px: paddle.Tensor
    strides_px: paddle.Tensor


class ESEAttention(nn.Layer):
    """A gate per channel from the mean over the picture, then a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2D(channels, channels, 1, weight_attr=nn.initializer.Normal(0.0, 0.001))
        self.conv = csp_resnet.ConvBN(channels, channels, 1)

    def forward(self, feature: paddle.Tensor, mean: paddle.Tensor) -> paddle.Tensor:
        return self.conv(feature * F.sigmoid(self.fc(mean)))


class Head(nn.Layer):
    """Per level one branch for scores and one for the sides of the boxes."""

    def __init__(self, in_channels: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stem_cls = nn.LayerList([ESEAttention(channels) for channels in in_channels])
        self.stem_reg = nn.LayerList([ESEAttention(channels) for channels in in_channels])
        prior = -math.log((1 - FACE_PRIOR) / FACE_PRIOR)
        self.pred_cls = nn.LayerList([_constant_conv(channels, num_classes, bias=prior) for channels in in_channels])
        self.pred_reg = nn.LayerList([_constant_conv(channels, 4 * BINS, bias=1.0) for channels in in_channels])
        # The bins' distances. A constant that the state dict holds: neither trained nor averaged (EMA).
        self.proj_conv = nn.Conv2D(BINS, 1, 1, bias_attr=False)
        self.proj_conv.weight.set_value(paddle.arange(BINS, dtype="float32").reshape([1, BINS, 1, 1]))
        self.proj_conv.weight.stop_gradient = True

    def forward(self, features: list[paddle.Tensor]) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Class logits [N, A], or [N, A, C] of several classes, and side logits [N, A, 4, BINS]."""
        class_logits, side_logits = [], []
        for level, feature in enumerate(features):
            mean = F.adaptive_avg_pool2d(feature, 1)  # [N, C, 1, 1]
            classes = self.pred_cls[level](self.stem_cls[level](feature, mean) + feature)  # [N, C, H, W]
            sides = self.pred_reg[level](self.stem_reg[level](feature, mean))  # [N, 4 * BINS, H, W]
            class_logits.append(classes.flatten(1) if self.num_classes == 1 else _per_anchor(classes, self.num_classes))
            side_logits.append(_per_anchor(sides, 4, BINS))
        return paddle.concat(class_logits, axis=1), paddle.concat(side_logits, axis=1)

    def distances(self, side_logits: paddle.Tensor) -> paddle.Tensor:
        """Expected distances [N, A, 4] in cells."""
        return expected_distance(side_logits, self.proj_conv.weight.flatten())


class PPYOLOE(nn.Layer):
    """Normalised images, sides multiples of 32, to boxes and scores, see `training.networks`."""

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.backbone = csp_resnet.CSPResNet()
        self.neck = custom_csp_pan.CustomCSPPAN(csp_resnet.OUTPUT_CHANNELS)
        self.yolo_head = Head(custom_csp_pan.OUTPUT_CHANNELS, num_classes)

    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        outputs = self.outputs(images)
        return outputs.boxes_xyxy_cells * outputs.strides_px, outputs.scores

    def outputs(self, images: paddle.Tensor) -> Outputs:
        """What the head says about images, float32 [N, 3, H, W]."""
        features = self.neck(self.backbone(images))
        class_logits, side_logits = self.yolo_head(features)
        points_xy_cells, strides_px = anchor_points(features, STRIDES_PX)
        boxes_xyxy_cells = ltrb_to_xyxy(points_xy_cells, self.yolo_head.distances(side_logits))
        scores = F.sigmoid(class_logits)
        return Outputs(scores, side_logits, boxes_xyxy_cells, points_xy_cells * strides_px, strides_px)

    def fused(self) -> PPYOLOE:
        """A copy for inference: every RepVGG block is one convolution, the outputs are the same."""
        detector = copy.deepcopy(self)
        detector.eval()
        for layer in detector.sublayers():
            if isinstance(layer, csp_resnet.RepVGGBlock):
                layer.fuse()
        return detector


def anchor_points(features: list[paddle.Tensor], strides: tuple[int, ...]) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Centres of all cells, [A, 2] xy in cells of their own level, and pixels per cell, [A, 1].

    Row by row. The grid follows the feature maps at run time, so that an exported graph takes any image size.
    """
    levels = []
    for feature, stride in zip(features, strides):
        rows, columns = paddle.shape(feature)[2], paddle.shape(feature)[3]
        y = paddle.arange(rows, dtype="float32") + 0.5
        x = paddle.arange(columns, dtype="float32") + 0.5
        grid_y, grid_x = paddle.meshgrid(y, x)  # [rows, columns] each
        levels.append(paddle.stack([grid_x, grid_y, grid_x * 0 + stride], axis=-1).reshape([-1, 3]))
    points = paddle.concat(levels, axis=0)  # [A, 3]
    return points[:, :2], points[:, 2:]


def _per_anchor(x: paddle.Tensor, *values: int) -> paddle.Tensor:
    """[N, product of values, H, W] to [N, H * W, *values]."""
    return x.transpose([0, 2, 3, 1]).reshape([0, -1, *values])


def _constant_conv(in_channels: int, out_channels: int, bias: float) -> nn.Conv2D:
    """A 3x3 convolution that says `bias` everywhere until it is trained."""
    zero, constant = nn.initializer.Constant(0.0), nn.initializer.Constant(bias)
    return nn.Conv2D(in_channels, out_channels, 3, padding=1, weight_attr=zero, bias_attr=constant)
