"""Cut a randomly moved volume of interest out of a case: one resampling for crop, rotation, scale and grid.

Paper: rotations below 10°, scaling, flips. A left-right flip swaps the femoral heads, so for those the flipped case
lends the *other* side's truth; for the others left and right are one structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.training.cases import Box, Case, corner_of

MAX_ROTATION_DEG = 8.0
MAX_SCALE = 0.12
CENTRE_JITTER_MM = 12.0
OUTSIDE_HU = -1000.0

OTHER_SIDE = {"Femur_Head_L": "Femur_Head_R", "Femur_Head_R": "Femur_Head_L"}


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where a volume of interest lies in a case: an affine map from VOI offsets (mm) to case offsets (mm), z y x.

    `slices` picks some of the VOI's slices, by index and in the order wanted; None takes all.
    """

    matrix: NDArray[np.float64]  # (3, 3)
    centre_index_zyx: NDArray[np.float64]  # in the case's voxels
    case_spacing_zyx_mm: tuple[float, float, float]
    size_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    slices: Tensor | None = None

    @property
    def flipped(self) -> bool:
        """Whether left and right change places."""
        return bool(np.linalg.det(self.matrix) < 0)

    def mirrored(self) -> Cut:
        """The same with left and right exchanged."""
        return replace(self, matrix=self.matrix @ np.diag([1.0, 1.0, -1.0]))

    def moved(self, rng: np.random.Generator) -> Cut:
        """The same with a random rotation, scale, flip and shift of the centre."""
        matrix = np.diag(1 + rng.uniform(-MAX_SCALE, MAX_SCALE, 3))
        for axis, degrees in enumerate(rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG, 3)):
            matrix = _rotation(axis, np.deg2rad(degrees)) @ matrix
        if rng.random() < 0.5:
            matrix = matrix @ np.diag([1.0, 1.0, -1.0])
        jitter = rng.uniform(-CENTRE_JITTER_MM, CENTRE_JITTER_MM, 3) / np.array(self.case_spacing_zyx_mm)
        return replace(self, matrix=matrix, centre_index_zyx=self.centre_index_zyx + jitter)

    @cached_property
    def index(self) -> Tensor:
        """Where each voxel of the VOI lies in the case, (z, y, x, 3) in the case's voxels."""
        offsets = [
            torch.arange(n, dtype=torch.float64).sub_((n - 1) / 2).mul_(s)
            for n, s in zip(self.size_zyx, self.spacing_zyx_mm, strict=True)
        ]
        if self.slices is not None:
            offsets[0] = offsets[0][self.slices]
        voi = torch.stack(torch.meshgrid(*offsets, indexing="ij"), -1)  # mm
        spacing = torch.tensor(self.case_spacing_zyx_mm, dtype=torch.float64)
        return voi @ torch.from_numpy(self.matrix).T / spacing + torch.from_numpy(self.centre_index_zyx)

    @cached_property
    def span(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest index of the VOI's voxels, each (3,) z y x: the map is affine, so corners reach them."""
        corners = self.index[:, [0, -1]][:, :, [0, -1]]
        return corners.amin((0, 1, 2)), corners.amax((0, 1, 2))

    def box(self, shape_zyx: tuple[int, ...], *, margin: int = 1) -> Box:
        """The part (z, y, x) of a case that the VOI needs; at least one voxel."""
        low = self.span[0].floor().long() - margin
        high = self.span[1].ceil().long() + 1 + margin
        z, y, x = (
            slice(min(max(int(a), 0), n - 1), max(min(int(b), n), 1))
            for a, b, n in zip(low, high, shape_zyx, strict=True)
        )
        return z, y, x

    def of(
        self, volume: NDArray[Any], *, outside: float = 0.0, corner_zyx: tuple[int, int, int] | None = None
    ) -> Tensor:
        """Sample a volume of the case, (z, y, x), on the VOI: trilinear, (z, y, x) float32.

        `corner_zyx` is where in the case the volume begins, if it is a part of it.
        """
        if corner_zyx is None:
            box = self.box(volume.shape)
            volume, corner_zyx = volume[box], corner_of(box)
        source = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32)) - outside
        return self._sampled(source[None], corner_zyx)[0] + outside

    def masks_of(self, case: Case, names: Sequence[str]) -> Tensor:
        """Structures of the case on the VOI, (structures, z, y, x) float32 in {0, 1}: where they fill half a voxel."""
        box = self.box(case.shape_zyx)
        source = np.stack([case.mask(name, box) for name in names]).astype(np.float32)
        return (self._sampled(torch.from_numpy(source), corner_of(box)) >= 0.5).float()

    def _sampled(self, source: Tensor, corner_zyx: tuple[int, int, int]) -> Tensor:
        """A part of the case, (channels, z, y, x) float32, on the VOI; 0 outside of it."""
        extent = torch.tensor(source.shape[1:], dtype=torch.float64)
        corner = torch.tensor(corner_zyx, dtype=torch.float64)
        # grid_sample's coordinates, align_corners=False: (2 * (index - corner) + 1) / extent - 1, in x y z
        unit = torch.addcmul((1 - 2 * corner) / extent - 1, self.index, 2 / extent).float().flip(-1)
        sampled = F.grid_sample(
            source[None], unit[None], mode="bilinear", padding_mode="zeros", align_corners=False
        )
        return sampled[0]


def _rotation(axis: int, angle: float) -> NDArray[np.float64]:
    """Rotation (3, 3) about one of the z, y, x axes."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = [a for a in range(3) if a != axis]
    turn = np.eye(3)
    turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
    return turn


def vary_scanner(rng: np.random.Generator, hu: Tensor) -> Tensor:
    """Shift and scale the CT numbers, (z, y, x) HU, as scanners differ."""
    gain, shift = rng.uniform(0.96, 1.04), rng.uniform(-12, 12)
    return hu * gain + shift


def corrupt_mask(rng: np.random.Generator, mask: Tensor) -> Tensor:
    """An organ mask as a network might have drawn it: shifted border, sometimes a bitten-off end.

    The CTV's network is guided by *predicted* organs in use; training on perfect ones would teach it to trust them.
    mask (z, y, x) in {0, 1}.
    """
    radius = int(rng.integers(-1, 2))
    soft = mask[None, None]
    if radius > 0:
        soft = F.max_pool3d(soft, (1, 3, 3), stride=1, padding=(0, 1, 1))
    elif radius < 0:
        soft = -F.max_pool3d(-soft, (1, 3, 3), stride=1, padding=(0, 1, 1))
    coarse_shape = tuple(max(2, n // 8) for n in mask.shape)
    coarse = torch.from_numpy(rng.normal(0, 1, coarse_shape).astype(np.float32))[None, None]
    wobble = F.interpolate(coarse, size=mask.shape, mode="trilinear", align_corners=False)
    blurred = F.avg_pool3d(soft, (1, 5, 5), stride=1, padding=(0, 2, 2))
    corrupted = (blurred + 0.22 * wobble > 0.5).float()[0, 0]
    if rng.random() < 0.15:
        filled = torch.nonzero(corrupted.sum((1, 2)))
        if len(filled) > 6:
            end = int(filled[0] if rng.random() < 0.5 else filled[-1])
            corrupted[max(0, end - 2) : end + 3] = 0
    return corrupted
