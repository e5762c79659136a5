"""A probe, not a product: the whole pelvis on coarse voxels, all organs in one pass (`models/evaluation/effects.py`).

MONAI's BasicUNet as it is. The localiser, which sees one slice at a time, was tried for it and found next to nothing in
the 300 steps that a probe can have.
"""

from __future__ import annotations

from torch import nn

from models.structures import CHANNELS

LEVELS = 5  # BasicUNet has no other number


def pelvis_unet(*, width: int = 12, levels: int = LEVELS) -> nn.Module:
    """CT channels (batch, 2, z, y, x) to logits (batch, 5, z, y, x), channels as the localiser's.

    z, y and x must be multiples of 16. Raises `ValueError` for another number of levels than 5.
    """
    if levels != LEVELS:
        raise ValueError(f"the probe has {LEVELS} levels, not {levels}")
    from monai.networks.nets.basic_unet import BasicUNet  # slow to import, and only the probe needs it

    filters = (width, width, 2 * width, 4 * width, 8 * width, width)
    norm = ("group", {"num_groups": max(1, width // 4)})
    return BasicUNet(spatial_dims=3, in_channels=2, out_channels=CHANNELS, features=filters, norm=norm)
