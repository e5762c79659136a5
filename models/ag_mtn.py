"""AG-MTN, the anatomy-guided multi-task network of the CTV (Balagopal et al. 2021, CTV segmentation).

The ablation leaves out one or both of its ideas: MTN has no guide, AG-UNet no second task, the U-Net neither. The
second task is the distance map; deep supervision, a help for the first, stays in all four.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.blocks import Conv3d, PlainBlock
from models.stochastic import Encoder, LeanDecoder, Placement, StochasticUNet, keep_shares

GUIDED, UNGUIDED = 3, 2  # inputs: two views of the CT, and the CT inside bladder and rectum


@dataclass(frozen=True)
class AGMTNOutput:
    """What training sees.

    Attributes:
        segmentation: logits (batch, 1, z, y, x).
        auxiliary: logits of the two deep-supervision heads, at 1/4 and 1/2 of the resolution.
        distance: distance to the CTV outside it, 0 inside, in units of `DISTANCE_SCALE_MM` (batch, 1, z, y, x); None
            where there is no second task.
    """

    segmentation: Tensor
    auxiliary: tuple[Tensor, Tensor]
    distance: Tensor | None

    def float(self) -> AGMTNOutput:
        """The same in single precision."""
        first, second = self.auxiliary
        distance = None if self.distance is None else self.distance.float()
        return AGMTNOutput(self.segmentation.float(), (first.float(), second.float()), distance)


class AGMTN(StochasticUNet):
    """One encoder, two parallel decoders (segmentation, distance map), two deep-supervision heads.

    Input is the CT of the VOI and the CT inside bladder and rectum. The distance decoder has no skip connections
    and teaches the encoder only: it takes no part in the passes. It is made last, so that a network without it starts
    from the same weights.
    """

    def __init__(
        self,
        *,
        inputs: int = GUIDED,
        multi_task: bool = True,
        width: int = 16,
        levels: int = 4,
        placement: Placement = "bottleneck",
    ) -> None:
        """A network of `levels` resolutions; `width` filters at the first, doubling downwards."""
        super().__init__()
        self.encoder = Encoder(inputs, width=width, levels=levels, block=PlainBlock, placement=placement)
        filters, keep = self.encoder.filters, keep_shares(levels)
        self.segmentation = LeanDecoder(filters, keep=keep)
        self.head = Conv3d(self.segmentation.filters[-1], 1, 1)
        self.auxiliary = nn.ModuleList(Conv3d(f, 1, 1) for f in self.segmentation.filters[-3:-1])
        self.multi_task = multi_task
        if multi_task:
            self.distance = LeanDecoder(filters, keep=[1.0] * len(keep))
            for level in self.distance.levels:
                del level.project  # no skips here
            self.distance_head = Conv3d(self.distance.filters[-1], 1, 1)

    def forward(self, x: Tensor) -> AGMTNOutput:
        """Training: x (batch, channel, z, y, x), all decoders and heads that there are."""
        features = self.encoder(x)
        decoded = self.segmentation(self.segmentation.share(features), None)
        return AGMTNOutput(
            segmentation=self.head(decoded[-1]),
            auxiliary=(self.auxiliary[0](decoded[-3]), self.auxiliary[1](decoded[-2])),
            distance=self._distance_from(features[-1]) if self.multi_task else None,
        )

    def _distance_from(self, bottleneck: Tensor) -> Tensor:
        """The distance map, from the bottleneck alone."""
        x = bottleneck
        for level in self.distance.levels:
            x = level(x, None, None)
        return torch.as_tensor(self.distance_head(x))

    @property
    def contour_decoder(self) -> LeanDecoder:
        """The decoder of the segmentation."""
        return self.segmentation


def ag_mtn(*, width: int = 16, levels: int = 4, placement: Placement = "bottleneck") -> AGMTN:
    """The CTV's network."""
    return AGMTN(width=width, levels=levels, placement=placement)


def mtn(*, width: int = 16, levels: int = 4, placement: Placement = "bottleneck") -> AGMTN:
    """Two tasks, no guide (ablation)."""
    return AGMTN(inputs=UNGUIDED, width=width, levels=levels, placement=placement)


def ag_unet(*, width: int = 16, levels: int = 4, placement: Placement = "bottleneck") -> AGMTN:
    """A guide, one task (ablation)."""
    return AGMTN(multi_task=False, width=width, levels=levels, placement=placement)


def plain_unet(*, width: int = 16, levels: int = 4, placement: Placement = "bottleneck") -> AGMTN:
    """No guide, one task: the baseline of the ablation."""
    return AGMTN(inputs=UNGUIDED, multi_task=False, width=width, levels=levels, placement=placement)
