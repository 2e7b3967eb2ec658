"""Building blocks that several detectors share."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F


class ConvBN(nn.Layer):
    """Convolution without bias and batch norm; same padding for odd kernels, no activation.

    Args:
        lr_scale: factor on the learning rate of the convolution's weight.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, lr_scale: float = 1.0
    ) -> None:
        super().__init__()
        self._conv = nn.Conv2D(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=groups,
            weight_attr=paddle.ParamAttr(learning_rate=lr_scale, initializer=nn.initializer.KaimingNormal()),
            bias_attr=False,
        )
        self._batch_norm = nn.BatchNorm2D(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self._batch_norm(self._conv(x))


def hard_swish(x: paddle.Tensor) -> paddle.Tensor:
    """x * relu6(x + 3) / 6; written out, since the gradient of Paddle's own kernel on CPU is off by some 0.4 %."""
    return x * F.relu6(x + 3) / 6
