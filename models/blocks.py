"""Encoder blocks of the paper's networks: plain, ResNeXt, ResNet with inception, squeeze-and-excitation.

Every block maps (batch, in, z, y, x) to (batch, out, z, y, x) and keeps the size. GroupNorm throughout: unlike
BatchNorm it treats every sample alike, so a pass never depends on its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BlockFactory = Callable[[int, int], nn.Module]
SLOPE = 0.01
HAS_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm in groups of four channels, at most eight groups."""
    return nn.GroupNorm(max(1, min(8, channels // 4)), channels)


class Conv3d(nn.Conv3d):
    """A 3D convolution that uses oneDNN whenever it can.

    For one small volume in fp32 PyTorch chooses its slow path (it looks at the batch and the input's size); in a pass
    that was a third of the time.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        fast = input.device.type == "cpu" and input.dtype == torch.float32 and not torch.is_grad_enabled()
        if not fast or torch.is_autocast_enabled("cpu") or not HAS_ONEDNN:
            return torch.as_tensor(super()._conv_forward(input, weight, bias))
        padding = [int(p) for p in self.padding]
        return torch.mkldnn_convolution(input, weight, bias, padding, self.stride, self.dilation, self.groups)


class ConvUnit(nn.Sequential):
    """Convolution, GroupNorm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, groups: int = 1) -> None:
        super().__init__(
            Conv3d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False),
            group_norm(outputs),
            nn.LeakyReLU(SLOPE, inplace=True),
        )


class PlainBlock(nn.Sequential):
    """Two convolutions (AG-MTN's encoder)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(ConvUnit(inputs, outputs), ConvUnit(outputs, outputs))


class ResidualBlock(nn.Module):
    """A body whose output is added to the block's (projected) input."""

    def __init__(self, inputs: int, outputs: int, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if inputs == outputs else Conv3d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Body plus shortcut, then leaky ReLU."""
        return F.leaky_relu(self.body(x) + self.shortcut(x), SLOPE)


class ResNeXtBlock(ResidualBlock):
    """3³ convolution, grouped 3³ convolution of cardinality 4, 1³ convolution (bladder, femoral heads).

    Aggregated residual transformations after Xie et al. 2017; cardinality as in the authors' femoral-head network.
    """

    def __init__(self, inputs: int, outputs: int, *, cardinality: int = 4) -> None:
        body = nn.Sequential(
            ConvUnit(inputs, outputs),
            Conv3d(outputs, outputs, 3, padding=1, groups=cardinality, bias=False),
            Conv3d(outputs, outputs, 1, bias=False),
            group_norm(outputs),
        )
        super().__init__(inputs, outputs, body)


class ResNetInceptionBlock(nn.Module):
    """Residual branches of two fields of view side by side, concatenated (rectum).

    The wide branch is 5³ in the authors' code; here a 3³ kernel with dilation 2 sees the same 5³ for 27 instead of
    125 multiplications.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stem = ConvUnit(inputs, outputs)
        half = outputs // 2
        self.narrow = nn.Sequential(Conv3d(outputs, half, 3, padding=1, bias=False), group_norm(half))
        self.wide = nn.Sequential(
            Conv3d(outputs, outputs - half, 3, padding=2, dilation=2, bias=False),
            group_norm(outputs - half),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Stem, then both branches plus the stem's output, then leaky ReLU."""
        x = self.stem(x)
        return F.leaky_relu(torch.cat([self.narrow(x), self.wide(x)], 1) + x, SLOPE)


class SqueezeExcitation(nn.Module):
    """Weigh channels by what the whole volume shows (Hu et al. 2018), reduction 4."""

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(2, channels // reduction)
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """X (batch, channel, z, y, x) times one weight per channel."""
        return torch.mul(x, self.gate(x.mean((2, 3, 4)))[:, :, None, None, None])


class SqueezeExcitationBlock(ResidualBlock):
    """Two convolutions, squeeze-and-excitation, residual (penile bulb)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        body = nn.Sequential(
            ConvUnit(inputs, outputs),
            Conv3d(outputs, outputs, 3, padding=1, bias=False),
            group_norm(outputs),
            SqueezeExcitation(outputs),
        )
        super().__init__(inputs, outputs, body)
