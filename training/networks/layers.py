"""Building blocks that several detectors share."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F
from paddle.regularizer import L2Decay


def same_conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    initializer: nn.initializer.Initializer | None = None,
    lr_scale: float = 1.0,
) -> nn.Conv2D:
    """A convolution without bias whose odd kernel is padded to keep the size.

    Args:
        initializer: of the weight; Kaiming normal if None.
        lr_scale: factor on the learning rate of the weight.
    """
    initializer = initializer or nn.initializer.KaimingNormal()
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        weight_attr=paddle.ParamAttr(learning_rate=lr_scale, initializer=initializer),
        bias_attr=False,
    )


def undecayed_batch_norm(channels: int) -> nn.BatchNorm2D:
    """Batch norm whose weight and bias a global weight decay leaves alone."""
    no_decay = paddle.ParamAttr(regularizer=L2Decay(0.0))
    return nn.BatchNorm2D(channels, weight_attr=no_decay, bias_attr=no_decay)


class ConvBN(nn.Layer):
    """Convolution without bias and batch norm, no activation, for BlazeFace's names and learning rates.

    Args:
        lr_scale: factor on the learning rate of the convolution's weight.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, lr_scale: float = 1.0
    ) -> None:
        super().__init__()
        self._conv = same_conv(in_channels, out_channels, kernel, stride, groups, lr_scale=lr_scale)
        self._batch_norm = nn.BatchNorm2D(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self._batch_norm(self._conv(x))


def hard_swish(x: paddle.Tensor) -> paddle.Tensor:
    """x * relu6(x + 3) / 6; written out, since the gradient of Paddle's own kernel on CPU is off by some 0.4 %."""
    return x * F.relu6(x + 3) / 6
