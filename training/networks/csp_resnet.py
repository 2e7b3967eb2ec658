"""CSPResNet, the backbone of PP-YOLOE+: cross-stage partial stages of RepVGG residual blocks.

Architecture: Xu et al., "PP-YOLOE: An evolved version of YOLO", 2022; the blocks after Ding et al., "RepVGG: Making
VGG-style ConvNets Great Again", 2021; the gate after Lee and Park, "CenterMask", 2020. Layer names are those of the
state dicts of the Paddle detectors.
"""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F

from training.networks.layers import undecayed_batch_norm

STEM_CHANNELS = 32
# (out channels, residual blocks) of the stages at strides 4, 8, 16 and 32
STAGES = [(64, 1), (128, 2), (256, 2), (512, 1)]
OUTPUT_CHANNELS = tuple(channels for channels, _ in STAGES[1:])


class ConvBN(nn.Layer):
    """Convolution without bias, batch norm and swish; same padding for odd kernels.

    Weight decay leaves out the batch norm.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, swish: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2D(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias_attr=False)
        self.bn = undecayed_batch_norm(out_channels)
        self.swish = swish

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.bn(self.conv(x))
        return F.swish(x) if self.swish else x

    def kernel_and_bias(self) -> tuple[paddle.Tensor, paddle.Tensor]:
        """The one convolution that equals this layer in eval mode, before swish: [out, in, k, k] and [out]."""
        gain = self.bn.weight / paddle.sqrt(self.bn._variance + self.bn._epsilon)
        return self.conv.weight * gain.reshape([-1, 1, 1, 1]), self.bn.bias - self.bn._mean * gain


class RepVGGBlock(nn.Layer):
    """A 3x3 and a 1x1 convolution side by side, summed, then swish; `fuse` makes them one 3x3 convolution.

    Args:
        with_alpha: a learned factor weighs the 1x1 branch.
    """

    def __init__(self, channels: int, with_alpha: bool) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 3, swish=False)
        self.conv2 = ConvBN(channels, channels, 1, swish=False)
        self.is_fused = False
        self.alpha = None
        if with_alpha:
            self.alpha = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.is_fused:
            return F.swish(self.conv(x))
        pointwise = self.conv2(x)
        if self.alpha is not None:
            pointwise = self.alpha * pointwise
        return F.swish(self.conv1(x) + pointwise)

    @paddle.no_grad()
    def fuse(self) -> None:
        """Replace the branches by the 3x3 convolution that equals them in eval mode. There is no way back."""
        if self.is_fused:
            return
        kernel, bias = self.conv1.kernel_and_bias()
        kernel_1x1, bias_1x1 = self.conv2.kernel_and_bias()
        alpha = 1.0 if self.alpha is None else self.alpha
        self.conv = nn.Conv2D(kernel.shape[1], kernel.shape[0], 3, padding=1)
        self.conv.weight.set_value(kernel + alpha * F.pad(kernel_1x1, [1, 1, 1, 1]))
        self.conv.bias.set_value(bias + alpha * bias_1x1)
        del self.conv1, self.conv2, self.alpha
        self.is_fused = True


class BasicBlock(nn.Layer):
    """A 3x3 convolution and a RepVGG block, with or without a shortcut around them."""

    def __init__(self, channels: int, shortcut: bool, with_alpha: bool) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 3)
        self.conv2 = RepVGGBlock(channels, with_alpha)
        self.shortcut = shortcut

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class EffectiveSE(nn.Layer):
    """Squeeze-and-excitation with one layer: a gate in 0..1 per channel from the mean over the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2D(channels, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        mean = x.mean([2, 3], keepdim=True)  # [N, C, 1, 1]
        return x * F.hardsigmoid(self.fc(mean))


class CSPResStage(nn.Layer):
    """Half the resolution; the residual blocks see half of the channels, the others bypass them."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        middle = (in_channels + out_channels) // 2
        half = middle // 2
        self.conv_down = ConvBN(in_channels, middle, 3, stride=2)
        self.conv1 = ConvBN(middle, half, 1)
        self.conv2 = ConvBN(middle, half, 1)
        self.blocks = nn.Sequential(*[BasicBlock(half, shortcut=True, with_alpha=True) for _ in range(blocks)])
        self.attn = EffectiveSE(middle)
        self.conv3 = ConvBN(middle, out_channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.conv_down(x)  # [N, middle, H/2, W/2]
        bypass, worked = self.conv1(x), self.blocks(self.conv2(x))  # [N, half, H/2, W/2] each
        return self.conv3(self.attn(paddle.concat([bypass, worked], axis=1)))


class CSPResNet(nn.Layer):
    """Images to feature maps of 128, 256 and 512 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        half = STEM_CHANNELS // 2
        self.stem = nn.Sequential(
            ("conv1", ConvBN(3, half, 3, stride=2)),
            ("conv2", ConvBN(half, half, 3)),
            ("conv3", ConvBN(half, STEM_CHANNELS, 3)),
        )
        self.stages = nn.LayerList()
        in_channels = STEM_CHANNELS
        for out_channels, blocks in STAGES:
            self.stages.append(CSPResStage(in_channels, out_channels, blocks))
            in_channels = out_channels

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.stages[0](self.stem(images))  # [N, 64, H/4, W/4]
        eighth = self.stages[1](x)  # [N, 128, H/8, W/8]
        sixteenth = self.stages[2](eighth)  # [N, 256, H/16, W/16]
        return [eighth, sixteenth, self.stages[3](sixteenth)]  # the last one [N, 512, H/32, W/32]
