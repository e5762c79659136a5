"""3D U-Nets of the organs at risk: one network per organ, told apart by the block of its encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from models.blocks import BlockFactory, Conv3d, ResNetInceptionBlock, ResNeXtBlock, SqueezeExcitationBlock
from models.stochastic import Encoder, LeanDecoder, Placement, StochasticUNet, keep_shares


class OARUNet(StochasticUNet):
    """Encoder with the organ's block, lean decoder, one sigmoid output."""

    def __init__(
        self,
        *,
        block: BlockFactory,
        inputs: int = 2,
        width: int = 16,
        levels: int = 4,
        placement: Placement = "bottleneck",
    ) -> None:
        """A network of `levels` resolutions; `width` filters at the first, doubling downwards."""
        super().__init__()
        self.encoder = Encoder(inputs, width=width, levels=levels, block=block, placement=placement)
        self.decoder = LeanDecoder(self.encoder.filters, keep=keep_shares(levels))
        self.head = Conv3d(self.decoder.filters[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Training: x (batch, channel, z, y, x) to logits (batch, 1, z, y, x), both halves once."""
        features = self.decoder(self.decoder.share(self.encoder(x)), None)
        return torch.as_tensor(self.head(features[-1]))

    @property
    def contour_decoder(self) -> LeanDecoder:
        """Its only decoder."""
        return self.decoder


def bladder_unet(*, width: int = 16, levels: int = 4, placement: Placement = "bottleneck") -> OARUNet:
    """3D U-Net whose encoder uses ResNeXt blocks (paper: bladder)."""
    return OARUNet(block=ResNeXtBlock, width=width, levels=levels, placement=placement)


def femoral_head_unet(*, width: int = 16, levels: int = 4, placement: Placement = "bottleneck") -> OARUNet:
    """3D U-Net whose encoder uses ResNeXt blocks (paper: each femoral head has its own network)."""
    return OARUNet(block=ResNeXtBlock, width=width, levels=levels, placement=placement)


def rectum_unet(*, width: int = 16, levels: int = 4, placement: Placement = "bottleneck") -> OARUNet:
    """3D U-Net whose encoder uses ResNet and inception blocks (paper: rectum)."""
    return OARUNet(block=ResNetInceptionBlock, width=width, levels=levels, placement=placement)


def penile_bulb_unet(*, width: int = 16, levels: int = 4, placement: Placement = "bottleneck") -> OARUNet:
    """3D U-Net with squeeze-and-excitation blocks (paper: penile bulb)."""
    return OARUNet(block=SqueezeExcitationBlock, width=width, levels=levels, placement=placement)
