"""CSP-PAN, the neck of PicoDet: a path aggregation network of cross-stage-partial blocks, with a fourth level on top.

Architecture: Yu et al., "PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices", 2021. Layer names are
those of the Paddle detector's state dict.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.networks.layers import same_conv

CHANNELS = 128  # of every level
KERNEL = 5  # of every depthwise convolution


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2D:
    return same_conv(in_channels, out_channels, kernel, stride, groups, nn.initializer.KaimingUniform())


class PointwiseConv(nn.Layer):
    """1x1 convolution, batch norm and hard-swish."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _conv(in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2D(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.hardswish(self.bn(self.conv(x)))


class SeparableConv(nn.Layer):
    """Depthwise 5x5 and pointwise convolution, each with batch norm and hard-swish."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.dwconv = _conv(channels, channels, KERNEL, stride, groups=channels)
        self.bn1 = nn.BatchNorm2D(channels)
        self.pwconv = _conv(channels, channels, 1)
        self.bn2 = nn.BatchNorm2D(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.hardswish(self.bn1(self.dwconv(x)))
        return F.hardswish(self.bn2(self.pwconv(x)))


class Bottleneck(nn.Layer):
    """Pointwise, then separable convolution; no shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = PointwiseConv(channels, channels)
        self.conv2 = SeparableConv(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv2(self.conv1(x))


class CSPBlock(nn.Layer):
    """Two maps merged into one: half of the channels through a bottleneck, the other half past it."""

    def __init__(self) -> None:
        super().__init__()
        half = CHANNELS // 2
        self.main_conv = PointwiseConv(2 * CHANNELS, half)
        self.short_conv = PointwiseConv(2 * CHANNELS, half)
        self.final_conv = PointwiseConv(CHANNELS, CHANNELS)
        self.blocks = nn.Sequential(Bottleneck(half))

    def forward(self, first: paddle.Tensor, second: paddle.Tensor) -> paddle.Tensor:
        x = paddle.concat([first, second], axis=1)  # [N, 256, h, w]
        x = paddle.concat([self.blocks(self.main_conv(x)), self.short_conv(x)], axis=1)  # [N, 128, h, w]
        return self.final_conv(x)


class ToCommonChannels(nn.Layer):
    """One pointwise convolution per level, to the neck's number of channels."""

    def __init__(self, in_channels: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.LayerList([PointwiseConv(channels, CHANNELS) for channels in in_channels])

    def forward(self, features: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        return [conv(x) for conv, x in zip(self.convs, features)]


class CSPPAN(nn.Layer):
    """Three feature maps, each half the size of the one before, to four of 128 channels.

    Args:
        in_channels: of the three maps, in order of their strides.
    """

    def __init__(self, in_channels: Sequence[int]) -> None:
        super().__init__()
        steps = len(in_channels) - 1
        self.conv_t = ToCommonChannels(in_channels)
        self.first_top_conv = SeparableConv(CHANNELS, stride=2)
        self.second_top_conv = SeparableConv(CHANNELS, stride=2)
        self.top_down_blocks = nn.LayerList([CSPBlock() for _ in range(steps)])
        self.downsamples = nn.LayerList([SeparableConv(CHANNELS, stride=2) for _ in range(steps)])
        self.bottom_up_blocks = nn.LayerList([CSPBlock() for _ in range(steps)])

    def forward(self, features: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """Maps at strides s, 2s, 4s [N, C_i, h_i, w_i] to [N, 128, h_i, w_i] at s, 2s, 4s and 8s."""
        *lower, top = self.conv_t(features)
        merged = [top]  # coarsest first
        for block, x in zip(self.top_down_blocks, reversed(lower)):
            merged.append(block(F.interpolate(merged[-1], scale_factor=2, mode="nearest"), x))
        levels = [merged.pop()]  # finest first
        for block, downsample in zip(self.bottom_up_blocks, self.downsamples):
            levels.append(block(downsample(levels[-1]), merged.pop()))
        levels.append(self.first_top_conv(top) + self.second_top_conv(levels[-1]))
        return levels
