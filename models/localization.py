"""Stage 1: where is everything? A 2D U-Net on axial slices, and the centres that follow from it (paper, Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import SLOPE
from models.preprocessing import ct_channels
from models.structures import CHANNELS, structure

CHANNEL_OF_HEADS = structure("Femur_Head_L").channel
MIN_VOLUME_CC = {"CTV": 8.0, "Bladder": 8.0, "Rectum": 8.0, "PenileBulb": 0.4}
MIN_HEAD_CC = 6.0
HEADS_APART_MM = (110.0, 260.0)  # from left to right; men's lie 150 to 210 mm apart
HEADS_OFF_MM = 60.0  # up or down, forward or back, in a pelvis that lies turned
MOST_PIECES = 6  # of what is found for one structure
PIECE_SHARE = 0.1  # of the largest piece: what is smaller is an island
LEVEL, FAINT_LEVEL = 0.5, 0.25  # the bulb is small, and faint on pixels of 4 mm
# Where a centre is sought, mm from the middle between the femoral heads: from and to, (z, y, x), z to the head, y to
# the back. Wider than in any phantom of the cohort.
SOUGHT_MM = {
    "CTV": ((-60, -50, -45), (50, 70, 45)),
    "Bladder": ((-60, -110, -80), (150, 70, 80)),
    "Rectum": ((-80, -30, -70), (120, 120, 70)),
    "PenileBulb": ((-105, -40, -35), (-15, 60, 35)),
}
SLICES_AT_ONCE = 16


class LocalizationUNet(nn.Module):
    """2D U-Net with five sigmoid outputs: CTV, bladder, rectum, femoral heads, penile bulb."""

    def __init__(self, *, inputs: int = 2, width: int = 16, levels: int = 4) -> None:
        """A network of `levels` resolutions; `width` filters at the first, doubling downwards."""
        super().__init__()
        filters = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(_pair(a, b) for a, b in zip([inputs, *filters], filters, strict=False))
        deep = filters[::-1]
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in zip(deep, deep[1:], strict=False)
        )
        self.up = nn.ModuleList(_pair(2 * b, b) for b in deep[1:])
        self.head = nn.Conv2d(width, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Slices (batch, channel, y, x) to logits (batch, 5, y, x)."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for rise, block, skip in zip(self.rise, self.up, reversed(skips[:-1]), strict=True):
            x = block(torch.cat([skip, rise(x)], 1))
        return torch.as_tensor(self.head(x))


def localization_unet(*, width: int = 16, levels: int = 4) -> LocalizationUNet:
    """The localiser."""
    return LocalizationUNet(width=width, levels=levels)


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    """Twice convolution, GroupNorm, leaky ReLU."""
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        layers += [
            nn.Conv2d(before, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(max(1, min(8, outputs // 4)), outputs),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
    return nn.Sequential(*layers)


@torch.inference_mode()
def coarse_probabilities(
    network: LocalizationUNet, hu: NDArray[np.int16], *, device: torch.device
) -> NDArray[np.float32]:
    """Run the localiser over a volume, (z, y, x) HU to (5, z, y, x) probabilities."""
    channels = torch.from_numpy(ct_channels(hu)).permute(1, 0, 2, 3)  # (z, channel, y, x)
    parts = [
        torch.sigmoid(network(channels[i : i + SLICES_AT_ONCE].to(device))).cpu()
        for i in range(0, len(channels), SLICES_AT_ONCE)
    ]
    return torch.cat(parts).permute(1, 0, 2, 3).numpy()


@dataclass(frozen=True)
class Centre:
    """Where a structure was found: index (z, y, x) in the localiser's grid, and how much of it."""

    index_zyx: tuple[float, float, float]
    volume_cc: float


def centroids(
    probabilities: NDArray[np.float32], spacing_zyx_mm: tuple[float, float, float]
) -> dict[str, Centre]:
    """Centre of each structure that was found.

    Of the femoral heads the largest two pieces that lie to each other as heads do, told apart by their x. The others
    are sought around the middle between these; what is found there in pieces has the centre of the pieces together,
    islands left out.

    Args:
        probabilities: (5, z, y, x), as `coarse_probabilities` gives them; x grows to the patient's left (LPS).
        spacing_zyx_mm: of that grid.
    """
    voxel_cc = float(np.prod(spacing_zyx_mm)) / 1000
    heads = _heads(_components(probabilities[CHANNEL_OF_HEADS] >= LEVEL, voxel_cc), spacing_zyx_mm)
    found = dict(heads)
    for name, region in SOUGHT_MM.items():
        p = probabilities[structure(name).channel]
        mask = p >= (FAINT_LEVEL if name == "PenileBulb" else LEVEL)
        if heads:
            mask &= _region(mask.shape, heads, spacing_zyx_mm, region)
        centre = _together(name, _components(mask, voxel_cc))
        if centre is not None:
            found[name] = centre
    return found


def _region(
    shape: tuple[int, ...],
    heads: Mapping[str, Centre],
    spacing_zyx_mm: tuple[float, float, float],
    region_mm: tuple[tuple[float, ...], tuple[float, ...]],
) -> NDArray[np.bool_]:
    """True within a region around the middle between the femoral heads, (z, y, x)."""
    middle = np.mean([head.index_zyx for head in heads.values()], axis=0)
    inside = np.ones(shape, dtype=bool)
    for axis, (n, m, step) in enumerate(zip(shape, middle, spacing_zyx_mm, strict=True)):
        away = (np.arange(n) - m) * step
        along = [1, 1, 1]
        along[axis] = -1
        inside &= ((away >= region_mm[0][axis]) & (away <= region_mm[1][axis])).reshape(along)
    return inside


def _components(mask: NDArray[np.bool_], voxel_cc: float) -> list[Centre]:
    """Connected components, largest first."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return []
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(mask, labels, numbers) * voxel_cc
    order = np.argsort(sizes)[::-1][:MOST_PIECES]
    middles = ndimage.center_of_mass(mask, labels, numbers[order])
    return [
        Centre((float(z), float(y), float(x)), float(sizes[i]))
        for i, (z, y, x) in zip(order, middles, strict=True)
    ]


def _together(name: str, pieces: list[Centre]) -> Centre | None:
    """The centre of all pieces but islands."""
    kept = [p for p in pieces if p.volume_cc >= PIECE_SHARE * pieces[0].volume_cc]
    volume = sum(p.volume_cc for p in kept)
    if volume < MIN_VOLUME_CC[name]:
        return None
    z, y, x = np.average([p.index_zyx for p in kept], axis=0, weights=[p.volume_cc for p in kept])
    return Centre((float(z), float(y), float(x)), float(volume))


def _heads(pieces: list[Centre], spacing_zyx_mm: tuple[float, float, float]) -> dict[str, Centre]:
    """Right and left; one alone cannot be told apart and is not taken.

    A scan that reaches to the chest shows other round bones: the pair must lie side by side, a pelvis apart.
    """
    large = [p for p in pieces if p.volume_cc >= MIN_HEAD_CC]
    pairs = [pair for pair in combinations(large, 2) if _side_by_side(pair, spacing_zyx_mm)]
    if not pairs:
        return {}
    pair = sorted(max(pairs, key=lambda pair: sum(p.volume_cc for p in pair)), key=lambda p: p.index_zyx[2])
    return dict(zip(("Femur_Head_R", "Femur_Head_L"), pair, strict=True))


def _side_by_side(pair: tuple[Centre, Centre], spacing_zyx_mm: tuple[float, float, float]) -> bool:
    """Whether two pieces lie to each other as the heads of one pelvis, also of one that lies turned."""
    first, second = (np.array(p.index_zyx) * spacing_zyx_mm for p in pair)
    dz, dy, dx = np.abs(first - second)
    low, high = HEADS_APART_MM
    return bool(low <= dx <= high and max(dz, dy) <= HEADS_OFF_MM)
