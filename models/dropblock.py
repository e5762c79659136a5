"""DropBlock for volumes (Ghiasi, Lin, Le 2018, arXiv 1810.12890), made for sampling.

Three things differ from the library versions, each measured to matter (SCIENCE D4, D5): the mask is dilated with
boolean shifts (max pooling in 3D costs more on a CPU than the convolution it regularises), the rescaling is done
per sample (so that a pass does not depend on its neighbours in the batch), and each pass brings its own generator
(so that results depend on neither batch size nor order).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn


class DropBlock3d(nn.Module):
    """Drop cubes of activations, independently per channel.

    With generators the layer always drops, in `eval()` as well: that is Monte Carlo sampling. Without them it drops
    in `train()` only.
    """

    def __init__(self, keep: float, *, block: int = 3) -> None:
        """A layer that keeps the share `keep` of activations; `block` is the cube's edge in voxels."""
        super().__init__()
        self.keep = keep
        self.block = block

    def forward(self, x: Tensor, draws: Sequence[Generator] | None = None) -> Tensor:
        """Apply to x (batch, channel, z, y, x); `draws` holds one generator per sample of the batch."""
        if self.keep >= 1 or (draws is None and not self.training):
            return x
        if draws is None:
            seeds = torch.rand(self._valid_shape(x), device=x.device)
        else:
            # Drawn on the CPU whatever the device: the same seed drops the same blocks everywhere.
            one = (1, *self._valid_shape(x)[1:])
            seeds = torch.cat([torch.rand(one, generator=g) for g in draws]).to(x.device)
        kept = ~_dilate(seeds < self._gamma(x), self._edges(x), x.shape[2:])
        share = kept.flatten(1).float().mean(1).clamp_min(1e-3)
        return x * (kept / share.view(-1, 1, 1, 1, 1)).to(x.dtype)

    def _edges(self, x: Tensor) -> tuple[int, int, int]:
        """The block, clamped to tensors that are thinner than it."""
        d, h, w = (min(self.block, n) for n in x.shape[2:])
        return d, h, w

    def _valid_shape(self, x: Tensor) -> tuple[int, ...]:
        """Shape of the seeds: a block is seeded only where it fits."""
        return (*x.shape[:2], *(n - b + 1 for n, b in zip(x.shape[2:], self._edges(x), strict=True)))

    def _gamma(self, x: Tensor) -> float:
        """Seed probability that drops 1 - keep of the activations (the paper's equation 1, in 3D)."""
        gamma = 1 - self.keep
        for n, b in zip(x.shape[2:], self._edges(x), strict=True):
            gamma *= n / (b * (n - b + 1))
        return min(max(gamma, 0.0), 1.0)


def _dilate(seeds: Tensor, edges: tuple[int, int, int], shape: torch.Size) -> Tensor:
    """Grow each seed to a block, one axis after the other; (batch, channel, *shape) bool."""
    grown = seeds
    for axis, (edge, size) in enumerate(zip(edges, shape, strict=True), start=2):
        wide = torch.zeros(*grown.shape[:axis], size, *grown.shape[axis + 1 :], dtype=torch.bool)
        wide = wide.to(grown.device)
        for shift in range(edge):
            wide.narrow(axis, shift, grown.shape[axis]).logical_or_(grown)
        grown = wide
    return grown
