"""A piece of a CT with its structures, turned upright: axes along the patient's, whatever way the patient lay.

And the two landmarks that a guideline for the prostate bed needs: the midline and the top of the pubic symphysis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.grid import Grid, resample
from worker.voi import LPS_AXES, part_of

Mask = NDArray[np.bool_]

MARGIN_MM = 50.0
OUTSIDE_HU = -1000
BONE_HU = 250
BONE_LEAST_CC = 1.0  # smaller pieces of that density are clips, calcifications, contrast
MIDLINE_MM = 20.0
SIDE_BONE_MM2 = 30.0  # pubic bone on either side of the midline, per slice
SYMPHYSIS_MM = (15.0, 90.0)  # how high a run of such slices may be, and still be a symphysis


@dataclass(frozen=True, kw_only=True)
class PelvicBlock:
    """CT numbers and masks (z, y, x) with x to the left, y to the back, z to the head.

    Attributes:
        hu: CT numbers.
        masks: by structure name; absent structures are not in it.
        spacing_zyx_mm: distance of voxel centres.
    """

    hu: NDArray[np.int16]
    masks: Mapping[str, Mask]
    spacing_zyx_mm: tuple[float, float, float]

    @staticmethod
    def cut(hu: NDArray[np.int16], grid: Grid, masks: Mapping[str, Mask]) -> PelvicBlock:
        """Cut the structures with 5 cm around them out of a CT, and turn them upright (nearest voxel).

        Args:
            hu: CT numbers on `grid`.
            grid: where the voxels lie; any orientation.
            masks: per structure on the same grid; empty ones count as absent.

        Raises:
            ValueError: no structure at all.
        """
        present = {name: mask for name, mask in masks.items() if mask.any()}
        box = _box(present, grid)
        part, upright = part_of(grid, box), _upright(part_of(grid, box))
        if part.direction == upright.direction:
            turned = {name: mask[box] for name, mask in present.items()}
            return PelvicBlock(hu=hu[box], masks=turned, spacing_zyx_mm=_zyx(part))
        turned = {
            name: resample(mask[box], part, upright, outside=0, nearest=True)
            for name, mask in present.items()
        }
        standing = resample(hu[box], part, upright, outside=OUTSIDE_HU, nearest=True)
        return PelvicBlock(hu=standing, masks=turned, spacing_zyx_mm=_zyx(upright))

    def mask(self, name: str) -> Mask | None:
        """A structure's mask, None if it is not there."""
        return self.masks.get(name)

    @cached_property
    def bone(self) -> Mask:
        """Bone: denser than 250 HU in pieces of at least 1 cc, the bladder (contrast!) left out."""
        dense = self.hu > BONE_HU
        bladder = self.mask("Bladder")
        if bladder is not None:
            dense &= ~ndimage.binary_dilation(bladder, iterations=2)
        labels, _ = ndimage.label(dense)
        sizes_cc = np.bincount(labels.ravel()) * np.prod(self.spacing_zyx_mm) / 1000
        large = sizes_cc >= BONE_LEAST_CC
        large[0] = False
        return np.asarray(large[labels])

    @cached_property
    def midline(self) -> float:
        """Index of the midline along x: between the femoral heads, or else the middle of CTV, bladder or all."""
        heads = [self.mask(name) for name in ("Femur_Head_L", "Femur_Head_R")]
        if heads[0] is not None and heads[1] is not None:
            return float(np.mean([_middle(head, axis=2) for head in heads if head is not None]))
        for name in ("CTV", "Bladder"):
            if (mask := self.mask(name)) is not None:
                return _middle(mask, axis=2)
        return float(self.hu.shape[2]) / 2

    @cached_property
    def symphysis(self) -> tuple[int, int] | None:
        """First and last slice of the pubic symphysis; None where it cannot be told.

        A slice shows it if there is bone in front of the CTV's (or bladder's) middle on both sides of the midline,
        within 2 cm of it. The lowest run of such slices that is high enough is taken (lumbar spine may follow far
        above); it must not be too high and must end within the block.
        """
        reference = self.mask("CTV")
        reference = reference if reference is not None else self.mask("Bladder")
        if reference is None:
            return None
        in_front = self.bone[:, : max(1, round(_middle(reference, axis=1)))]
        dz, dy, dx = self.spacing_zyx_mm
        across = (np.arange(self.hu.shape[2]) - self.midline) * dx
        sides = [
            in_front[:, :, chosen].sum((1, 2)) * dy * dx >= SIDE_BONE_MM2
            for chosen in ((across < 0) & (across > -MIDLINE_MM), (across > 0) & (across < MIDLINE_MM))
        ]
        run = _lowest_run(sides[0] & sides[1], at_least=max(2, round(SYMPHYSIS_MM[0] / dz)))
        if run is None or (run[1] - run[0] + 1) * dz > SYMPHYSIS_MM[1] or run[1] == len(self.hu) - 1:
            return None
        return run

    def near_midline(self, within_mm: float) -> slice:
        """Columns x within so many mm of the midline."""
        reach = within_mm / self.spacing_zyx_mm[2]
        return slice(max(0, round(self.midline - reach)), round(self.midline + reach) + 1)


def _box(masks: Mapping[str, Mask], grid: Grid) -> tuple[slice, slice, slice]:
    if not masks:
        raise ValueError("there is no structure")
    low, high = [], []
    for axis, spacing in enumerate(grid.spacing_mm[::-1]):
        others = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero(np.any([mask.any(others) for mask in masks.values()], axis=0))
        margin = round(MARGIN_MM / spacing)
        low.append(max(0, int(filled[0]) - margin))
        high.append(min(grid.shape_zyx[axis], int(filled[-1]) + margin + 1))
    z, y, x = (slice(a, b) for a, b in zip(low, high, strict=True))
    return z, y, x


def _upright(grid: Grid) -> Grid:
    """A grid along LPS that covers another, each axis with the spacing of the axis nearest to it."""
    axes = np.asarray(grid.direction).reshape(3, 3)
    spacing = [float(grid.spacing_mm[int(np.abs(axes[world]).argmax())]) for world in range(3)]
    ends = [(0, n - 1) for n in grid.size_xyz]
    corners = grid.to_patient([(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]])
    size = np.rint(np.ptp(corners, axis=0) / spacing).astype(int) + 1
    origin = corners.min(0)
    return Grid(
        size_xyz=(int(size[0]), int(size[1]), int(size[2])),
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=LPS_AXES,
        frame_of_reference_uid=grid.frame_of_reference_uid,
    )


def _zyx(grid: Grid) -> tuple[float, float, float]:
    x, y, z = grid.spacing_mm
    return z, y, x


def _middle(mask: Mask, *, axis: int) -> float:
    """Index of a mask's centre of gravity along one axis."""
    counts = mask.sum(tuple(a for a in range(3) if a != axis))
    return float(np.average(np.arange(len(counts)), weights=counts))


def _lowest_run(there: Mask, *, at_least: int) -> tuple[int, int] | None:
    """First and last index of the first run of so many True; None without one."""
    labels, _ = ndimage.label(there)
    for number, length in enumerate(np.bincount(labels.ravel())[1:], start=1):
        if length >= at_least:
            found = np.flatnonzero(labels == number)
            return int(found[0]), int(found[-1])
    return None
