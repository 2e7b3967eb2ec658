"""The neck of BlazeFace-FPN-SSH: two levels joined top-down, then a context module on each.

The context module is that of Najibi et al., "SSH: Single Stage Headless Face Detector", 2017.
"""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.networks.layers import ConvBN

NECK_CHANNELS = 48
LR_SCALE = 0.1


def _conv(in_channels: int, out_channels: int, kernel: int) -> ConvBN:
    return ConvBN(in_channels, out_channels, kernel, lr_scale=LR_SCALE)


class FPN(nn.Layer):
    """Both levels to `NECK_CHANNELS`; the coarse one, enlarged, is added to the fine one."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv1_fpn = _conv(in_channels, NECK_CHANNELS, 1)
        self.conv2_fpn = _conv(in_channels, NECK_CHANNELS, 1)
        self.conv3_fpn = _conv(NECK_CHANNELS, NECK_CHANNELS, 3)

    def forward(self, features: list[paddle.Tensor]) -> list[paddle.Tensor]:
        fine = F.leaky_relu(self.conv1_fpn(features[0]))  # [N, 48, H/8, W/8]
        coarse = F.leaky_relu(self.conv2_fpn(features[1]))  # [N, 48, H/16, W/16]
        enlarged = F.interpolate(coarse, size=paddle.shape(fine)[2:], mode="nearest")
        return [F.leaky_relu(self.conv3_fpn(fine + enlarged)), coarse]


class SSH(nn.Layer):
    """Context of 3x3, 5x5 and 7x7 pixels, from stacked 3x3 convolutions, side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv0_ssh = _conv(channels, half, 3)
        self.conv1_ssh = _conv(half, quarter, 3)
        self.conv2_ssh = _conv(quarter, quarter, 3)
        self.conv3_ssh = _conv(quarter, quarter, 3)
        self.conv4_ssh = _conv(quarter, quarter, 3)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        near = self.conv0_ssh(x)  # [N, 24, h, w]
        wide = self.conv2_ssh(F.leaky_relu(self.conv1_ssh(near)))  # [N, 12, h, w]
        wider = self.conv4_ssh(F.leaky_relu(self.conv3_ssh(wide)))  # [N, 12, h, w]
        return F.relu(paddle.concat([near, wide, wider], axis=1))  # [N, 48, h, w]


class BlazeNeck(nn.Layer):
    """Features at strides 8 and 16 to features of 48 channels at the same strides."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.fpn = FPN(in_channels)
        self.ssh1 = SSH(NECK_CHANNELS)
        self.ssh2 = SSH(NECK_CHANNELS)

    def forward(self, features: list[paddle.Tensor]) -> list[paddle.Tensor]:
        fine, coarse = self.fpn(features)
        return [self.ssh1(fine), self.ssh2(coarse)]
