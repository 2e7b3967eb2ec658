"""CustomCSPPAN, the neck of PP-YOLOE+: a path aggregation network of cross-stage partial stages.

Architecture: Xu et al., "PP-YOLOE: An evolved version of YOLO", 2022. Layer names are those of the state dicts of the
Paddle detectors.
"""

from __future__ import annotations

from itertools import pairwise

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.networks.csp_resnet import BasicBlock, ConvBN

OUTPUT_CHANNELS = (384, 192, 96)  # at strides 32, 16 and 8
POOLING_KERNELS = (5, 9, 13)


class SpatialPyramidPooling(nn.Layer):
    """The map and its maxima over windows of three sizes, mixed by a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvBN(channels * (1 + len(POOLING_KERNELS)), channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        pooled = [F.max_pool2d(x, kernel, stride=1, padding=kernel // 2) for kernel in POOLING_KERNELS]
        return self.conv(paddle.concat([x, *pooled], axis=1))


class CSPStage(nn.Layer):
    """One block without shortcut on half of the output channels, beside a bypass of the same width.

    Args:
        pyramid_pooling: follow the block by `SpatialPyramidPooling`.
    """

    def __init__(self, in_channels: int, out_channels: int, pyramid_pooling: bool = False) -> None:
        super().__init__()
        half = out_channels // 2
        self.conv1 = ConvBN(in_channels, half, 1)
        self.conv2 = ConvBN(in_channels, half, 1)
        self.convs = nn.Sequential(("0", BasicBlock(half, shortcut=False, with_alpha=False)))
        if pyramid_pooling:
            self.convs.add_sublayer("spp", SpatialPyramidPooling(half))
        self.conv3 = ConvBN(2 * half, out_channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv3(paddle.concat([self.conv1(x), self.convs(self.conv2(x))], axis=1))


class CustomCSPPAN(nn.Layer):
    """Backbone maps, fine to coarse, to maps of 384, 192 and 96 channels, coarse to fine.

    Args:
        in_channels: of the backbone's maps at strides 8, 16 and 32.
    """

    def __init__(self, in_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.fpn_stages, self.fpn_routes = nn.LayerList(), nn.LayerList()
        self.pan_stages, self.pan_routes = nn.LayerList(), nn.LayerList()
        from_above = 0
        for level, (channels, out_channels) in enumerate(zip(reversed(in_channels), OUTPUT_CHANNELS)):
            stage = CSPStage(channels + from_above, out_channels, pyramid_pooling=level == 0)
            self.fpn_stages.append(nn.Sequential(stage))
            from_above = out_channels // 2
            if level + 1 < len(OUTPUT_CHANNELS):
                self.fpn_routes.append(ConvBN(out_channels, from_above, 1))
        for coarse, fine in pairwise(OUTPUT_CHANNELS):
            self.pan_routes.append(ConvBN(fine, fine, 3, stride=2))
            self.pan_stages.append(nn.Sequential(CSPStage(fine + coarse, coarse)))

    def forward(self, features: list[paddle.Tensor]) -> list[paddle.Tensor]:
        x = self.fpn_stages[0](features[-1])  # [N, 384, H/32, W/32]
        top_down = [x]
        for route, stage, feature in zip(self.fpn_routes, list(self.fpn_stages)[1:], features[-2::-1]):
            x = F.interpolate(route(x), scale_factor=2.0, mode="nearest")
            x = stage(paddle.concat([x, feature], axis=1))  # [N, 192, H/16, W/16], then [N, 96, H/8, W/8]
            top_down.append(x)
        bottom_up = [x]
        for route, stage, feature in reversed(list(zip(self.pan_routes, self.pan_stages, top_down))):
            x = stage(paddle.concat([route(x), feature], axis=1))  # [N, 192, H/16, W/16], then [N, 384, H/32, W/32]
            bottom_up.append(x)
        return bottom_up[::-1]
