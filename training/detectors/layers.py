"""Building blocks that several detectors share."""

from __future__ import annotations

import paddle
from paddle import nn


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
