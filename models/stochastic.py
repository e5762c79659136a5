"""The contract of two halves, and the lean decoder that makes the second half cheap.

Fifty passes differ only from the first DropBlock on. With placement "bottleneck" everything before it, the encoder
and the projections of its skip connections, is computed once per case (`deterministic_part`); a pass is the decoder
alone (`stochastic_part`). With the paper's placement, "everywhere", DropBlock follows each level of the encoder too:
nothing can be shared, and a pass is the whole network.

Cost of the lean decoder, 16 filters, 5 levels, 160 × 160 × 64: 22.8 GMAC a pass against 113.6 for a whole forward
of a standard U-Net of that width (SCIENCE 3.3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from models.blocks import SLOPE, BlockFactory, Conv3d, ConvUnit, group_norm
from models.dropblock import DropBlock3d

Draws = Sequence[Generator]
# bottleneck, then projected skips from deep to full resolution; with placement "everywhere" the input alone
Shared = tuple[Tensor, ...]
Placement = Literal["bottleneck", "everywhere"]

BLOCK = 3
KEEP_DEEP, KEEP_SHALLOW = 0.85, 0.95


def keep_shares(levels: int) -> tuple[float, ...]:
    """Share of activations that DropBlock keeps at each level but one of `levels`, deep to shallow."""
    step = (KEEP_SHALLOW - KEEP_DEEP) / max(1, levels - 2)
    return tuple(round(KEEP_DEEP + step * site, 4) for site in range(levels - 1))


class StochasticUNet(nn.Module, ABC):
    """A network in two halves: `deterministic_part` is the same in every pass, `stochastic_part` is not."""

    encoder: Encoder
    head: Conv3d

    @property
    @abstractmethod
    def contour_decoder(self) -> LeanDecoder:
        """The decoder that draws the contour: the one that the passes run."""

    def deterministic_part(self, x: Tensor) -> Shared:
        """Everything before the first DropBlock; x is (1, channel, z, y, x)."""
        return (x,) if self.encoder.drops else self.contour_decoder.share(self.encoder(x))

    def stochastic_part(self, shared: Shared, draws: Draws | None = None) -> Tensor:
        """Probabilities (passes, z, y, x) in [0, 1]: one pass per generator; without draws one pass, no DropBlock."""
        if self.encoder.drops:
            shared = self.contour_decoder.share(self.encoder(_per_pass(shared[0], draws), draws))
        return torch.sigmoid(self.head(self.contour_decoder(shared, draws)[-1]))[:, 0]

    def dropblocks(self) -> list[DropBlock3d]:
        """All DropBlock layers."""
        return [layer for layer in self.modules() if isinstance(layer, DropBlock3d)]


class Encoder(nn.Module):
    """Blocks with 2³ max pooling between them; filters double at each level.

    With placement "everywhere" DropBlock follows every block, before its skip and its pooling. The bottleneck's own
    is the first of the decoder in either placement.
    """

    def __init__(
        self, inputs: int, *, width: int, levels: int, block: BlockFactory, placement: Placement
    ) -> None:
        super().__init__()
        filters = [width * 2**level for level in range(levels)]
        self.filters = filters
        self.blocks = nn.ModuleList(
            block(before, after) for before, after in zip([inputs, *filters], filters, strict=False)
        )
        shallow_to_deep = reversed(keep_shares(levels)) if placement == "everywhere" else ()
        self.drops = nn.ModuleList(DropBlock3d(keep, block=BLOCK) for keep in shallow_to_deep)

    def forward(self, x: Tensor, draws: Draws | None = None) -> list[Tensor]:
        """Features per level, full resolution first; the last is the bottleneck."""
        features: list[Tensor] = []
        for level, block in enumerate(self.blocks):
            x = block(x if level == 0 else F.max_pool3d(x, 2))
            if level < len(self.drops):
                x = self.drops[level](x, draws)
            features.append(x)
        return features


class DecoderLevel(nn.Module):
    """Up-convolution 2³, plus the projected skip, then one 3³ convolution.

    The skip is *added*: its projection then does not depend on the pass and is computed once. It also narrows the
    encoder's filters to the decoder's, which are half as many: what is paid fifty times is kept small.
    """

    def __init__(self, deep: int, skip: int, outputs: int, *, keep: float) -> None:
        super().__init__()
        self.drop = DropBlock3d(keep, block=BLOCK)
        self.up = nn.ConvTranspose3d(deep, outputs, 2, stride=2, bias=False)
        self.project = Conv3d(skip, outputs, 3, padding=1, bias=False)
        self.norm = group_norm(outputs)
        self.conv = ConvUnit(outputs, outputs)

    def forward(self, x: Tensor, projected: Tensor | None, draws: Draws | None) -> Tensor:
        """X (passes, deep, z, y, x) and the projected skip of one case (1, outputs, 2z, 2y, 2x)."""
        x = self.up(self.drop(x, draws))
        if projected is not None:
            x += projected
        return torch.as_tensor(self.conv(F.leaky_relu(self.norm(x), SLOPE, inplace=True)))


class LeanDecoder(nn.Module):
    """Decoder levels from the bottleneck up to full resolution."""

    def __init__(self, filters: Sequence[int], *, keep: Sequence[float]) -> None:
        super().__init__()
        skips = list(reversed(filters[:-1]))
        self.filters = [skip // 2 for skip in skips]  # deep first
        deep = [filters[-1], *self.filters]
        self.levels = nn.ModuleList(
            DecoderLevel(below, skip, outputs, keep=k)
            for below, skip, outputs, k in zip(deep[:-1], skips, self.filters, keep, strict=True)
        )

    def share(self, features: Sequence[Tensor]) -> Shared:
        """Bottleneck and projected skips, deep first: what all passes have in common."""
        skips = reversed(features[:-1])
        projected = [
            level.project(skip)
            for level, skip in zip(self.levels, skips, strict=True)
            if isinstance(level, DecoderLevel)
        ]
        return (features[-1], *projected)

    def forward(self, shared: Shared, draws: Draws | None) -> list[Tensor]:
        """Features of every decoder level, deep first; the last is at full resolution."""
        x = _per_pass(shared[0], draws)
        features: list[Tensor] = []
        for level, projected in zip(self.levels, shared[1:], strict=True):
            x = level(x, projected, draws)
            features.append(x)
        return features


def _per_pass(x: Tensor, draws: Draws | None) -> Tensor:
    """The same features once per pass."""
    return x if draws is None else x.expand(len(draws), -1, -1, -1, -1)
