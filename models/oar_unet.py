"""3D U-Nets of the organs at risk: one network per organ, told apart by the block of its encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.blocks import BlockFactory, Conv3d, ResNetInceptionBlock, ResNeXtBlock, SqueezeExcitationBlock
from models.stochastic import KEEP_DEEP_TO_SHALLOW, Draws, Encoder, LeanDecoder, Shared, StochasticUNet


class OARUNet(StochasticUNet):
    """Encoder with the organ's block, lean decoder, one sigmoid output."""

    def __init__(
        self,
        *,
        block: BlockFactory,
        inputs: int = 2,
        width: int = 16,
        levels: int = 4,
        keep: Sequence[float] = KEEP_DEEP_TO_SHALLOW,
    ) -> None:
        """A network of `levels` resolutions; `width` filters at the first, doubling downwards."""
        super().__init__()
        self.encoder = Encoder(inputs, width=width, levels=levels, block=block)
        self.decoder = LeanDecoder(self.encoder.filters, keep=keep)
        self.head = Conv3d(self.decoder.filters[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Training: x (batch, channel, z, y, x) to logits (batch, 1, z, y, x), both halves once."""
        features = self.decoder(self.decoder.share(self.encoder(x)), None)
        return torch.as_tensor(self.head(features[-1]))

    def deterministic_part(self, x: Tensor) -> Shared:
        """Encoder, bottleneck and skip projections of one case (1, channel, z, y, x)."""
        return self.decoder.share(self.encoder(x))

    def stochastic_part(self, shared: Shared, draws: Draws | None = None) -> Tensor:
        """Probabilities (passes, z, y, x)."""
        return torch.sigmoid(self.head(self.decoder(shared, draws)[-1]))[:, 0]


def bladder_unet(*, width: int = 16, levels: int = 4) -> OARUNet:
    """3D U-Net whose encoder uses ResNeXt blocks (paper: bladder)."""
    return OARUNet(block=ResNeXtBlock, width=width, levels=levels)


def femoral_head_unet(*, width: int = 16, levels: int = 4) -> OARUNet:
    """3D U-Net whose encoder uses ResNeXt blocks (paper: each femoral head has its own network)."""
    return OARUNet(block=ResNeXtBlock, width=width, levels=levels)


def rectum_unet(*, width: int = 16, levels: int = 4) -> OARUNet:
    """3D U-Net whose encoder uses ResNet and inception blocks (paper: rectum)."""
    return OARUNet(block=ResNetInceptionBlock, width=width, levels=levels)


def penile_bulb_unet(*, width: int = 16, levels: int = 4) -> OARUNet:
    """3D U-Net with squeeze-and-excitation blocks (paper: penile bulb)."""
    return OARUNet(block=SqueezeExcitationBlock, width=width, levels=levels)
