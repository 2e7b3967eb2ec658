"""LCNet x2.5, the backbone of PicoDet: depthwise-separable blocks with hard-swish, squeeze-and-excitation at the end.

Architecture: Cui et al., "PP-LCNet: A Lightweight CPU Convolutional Neural Network", 2021, without its classifier.
Layer names are those of the Paddle detector's state dict.
"""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.networks.layers import same_conv, undecayed_batch_norm

# Stage: blocks of (kernel, in, out, stride, squeeze-and-excitation)
STAGES = {
    "blocks2": [(3, 40, 80, 1, False)],
    "blocks3": [(3, 80, 160, 2, False), (3, 160, 160, 1, False)],
    "blocks4": [(3, 160, 320, 2, False), (3, 320, 320, 1, False)],
    "blocks5": [(3, 320, 640, 2, False), *[(5, 640, 640, 1, False)] * 5],
    "blocks6": [(5, 640, 1280, 2, True), (5, 1280, 1280, 1, True)],
}
OUTPUT_CHANNELS = (320, 640, 1280)  # of blocks4, blocks5 and blocks6


class ConvBN(nn.Layer):
    """Convolution without bias, batch norm free of weight decay, hard-swish; same padding for odd kernels."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = same_conv(in_channels, out_channels, kernel, stride, groups)
        self.bn = undecayed_batch_norm(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.hardswish(self.bn(self.conv(x)))


class SqueezeExcitation(nn.Layer):
    """Channels weighted by a function of their means (Hu et al., "Squeeze-and-Excitation Networks", 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels, channels // 4, 1)
        self.conv2 = nn.Conv2D(channels // 4, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        mean = F.adaptive_avg_pool2d(x, 1)  # [N, C, 1, 1]
        return x * F.hardsigmoid(self.conv2(F.relu(self.conv1(mean))))


class SeparableBlock(nn.Layer):
    """Depthwise convolution, optionally squeeze-and-excitation, pointwise convolution."""

    def __init__(self, kernel: int, in_channels: int, out_channels: int, stride: int, excitation: bool) -> None:
        super().__init__()
        self.dw_conv = ConvBN(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.se = SqueezeExcitation(in_channels) if excitation else nn.Identity()
        self.pw_conv = ConvBN(in_channels, out_channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.pw_conv(self.se(self.dw_conv(x)))


class LCNet(nn.Layer):
    """Images to feature maps of 320, 640 and 1280 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBN(3, 40, 3, stride=2)
        self.stages = [
            self.add_sublayer(name, nn.Sequential(*[SeparableBlock(*block) for block in blocks]))
            for name, blocks in STAGES.items()
        ]

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.conv1(images)  # [N, 40, H/2, W/2]
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[-3:]  # [N, 320, H/8, W/8], [N, 640, H/16, W/16], [N, 1280, H/32, W/32]
