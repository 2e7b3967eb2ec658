"""BlazeNet, the backbone of both BlazeFace detectors: depthwise 5x5 residual blocks, single and double.

Architecture: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019, in the
larger variant of the Paddle detectors. Layer names are those of their state dicts.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.networks.layers import ConvBN

Activation = Callable[[paddle.Tensor], paddle.Tensor]

# (in, out, stride)
SINGLE_BLOCKS = [(24, 24, 1), (24, 24, 1), (24, 48, 2), (48, 48, 1), (48, 48, 1)]
# (in, middle, out, stride)
DOUBLE_BLOCKS = [
    (48, 24, 96, 2),
    (96, 24, 96, 1),
    (96, 24, 96, 1),
    (96, 24, 96, 2),
    (96, 24, 96, 1),
    (96, 24, 96, 1),
]
OUTPUT_CHANNELS = 96
LR_SCALE = 0.1


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> ConvBN:
    return ConvBN(in_channels, out_channels, kernel, stride, groups, lr_scale=LR_SCALE)


class BlazeBlock(nn.Layer):
    """Depthwise 5x5 and pointwise convolution around a shortcut; a double block does so twice.

    Args:
        middle: channels between the two halves of a double block; None makes a single block.
        activation: after the first pointwise convolution of a double block.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        out_channels: int,
        stride: int,
        middle: int | None = None,
        activation: Activation = F.relu,
    ) -> None:
        super().__init__()
        self.stride, self.activation = stride, activation
        # Plain lists: a layer held as an attribute would enter the state dict a second time.
        self.depthwise = [self.add_sublayer(f"{name}1_dw", _conv(in_channels, in_channels, 5, stride, in_channels))]
        self.shortcut = []
        if middle is None:
            self.conv_pw = _conv(in_channels, out_channels, 1)
        else:
            self.conv_pw = _conv(in_channels, middle, 1)
            self.depthwise.append(self.add_sublayer(f"{name}2_dw", _conv(middle, middle, 5, groups=middle)))
            self.conv_pw2 = _conv(middle, out_channels, 1)
        if stride == 2:
            self.shortcut.append(self.add_sublayer(f"{name}_shortcut_conv", _conv(in_channels, out_channels, 1)))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv_pw(F.relu(self.depthwise[0](x)))
        if len(self.depthwise) == 2:
            y = F.relu(self.depthwise[1](self.activation(y)))
            y = F.relu(self.conv_pw2(y))
        if self.shortcut:
            x = F.relu(self.shortcut[0](F.max_pool2d(x, 2, 2, ceil_mode=True)))
        return F.relu(x + y)


class BlazeNet(nn.Layer):
    """Images to feature maps of 96 channels at strides 8 and 16."""

    def __init__(self, activation: Activation = F.relu) -> None:
        super().__init__()
        self.conv1 = _conv(3, 24, 3, stride=2)
        self.single = [
            self.add_sublayer(name, BlazeBlock(name, c_in, c_out, stride))
            for name, (c_in, c_out, stride) in _named("blaze", SINGLE_BLOCKS)
        ]
        self.double = [
            self.add_sublayer(name, BlazeBlock(name, c_in, c_out, stride, middle, activation))
            for name, (c_in, middle, c_out, stride) in _named("double_blaze", DOUBLE_BLOCKS)
        ]

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        x = F.relu(self.conv1(images))  # [N, 24, H/2, W/2]
        for block in self.single:
            x = block(x)  # [N, 48, H/4, W/4]
        levels = []
        for block in self.double:
            if block.stride == 2 and block is not self.double[0]:
                levels.append(x)  # [N, 96, H/8, W/8]
            x = block(x)
        return [*levels, x]  # the last one [N, 96, H/16, W/16]


def _named(prefix: str, blocks: list[tuple[int, ...]]) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{prefix}_{i}", block) for i, block in enumerate(blocks)]
