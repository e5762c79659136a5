"""Cut a volume of interest out of the CT, and put what was found there back on the CT's own grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.grid import Grid, resample

LPS_AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
AIR_HU = -1000.0


def voi_grid(
    centre_mm: NDArray[np.float64],
    size_zyx: tuple[int, int, int],
    spacing_zyx_mm: tuple[float, float, float],
    frame_of_reference_uid: str,
) -> Grid:
    """A grid along the patient's axes around a point in LPS mm.

    Whatever way the patient lay, networks see x to the left, y to the back, z to the head.
    """
    size_xyz, spacing = size_zyx[::-1], spacing_zyx_mm[::-1]
    origin = [float(c - (n - 1) / 2 * s) for c, n, s in zip(centre_mm, size_xyz, spacing, strict=True)]
    return Grid(
        size_xyz=(size_xyz[0], size_xyz[1], size_xyz[2]),
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        origin_mm=(origin[0], origin[1], origin[2]),
        direction=LPS_AXES,
        frame_of_reference_uid=frame_of_reference_uid,
    )


def crop(hu_zyx: NDArray[np.int16], grid: Grid, voi: Grid) -> NDArray[np.float32]:
    """CT numbers on a VOI's grid, (z, y, x) HU, linear; air where the CT has no voxels."""
    cropped = resample(hu_zyx, grid, voi, outside=AIR_HU)
    return np.asarray(cropped, dtype=np.float32)


def box_of(voi: Grid, grid: Grid) -> tuple[slice, slice, slice] | None:
    """The part (z, y, x) of a CT's grid that a VOI covers; None when they do not meet."""
    edges = [(-0.5, n - 0.5) for n in voi.size_xyz]
    corners = np.array([[x, y, z] for x in edges[0] for y in edges[1] for z in edges[2]])
    index = grid.to_index(voi.to_patient(corners))
    low = np.maximum(np.ceil(index.min(0)), 0).astype(int)
    high = np.minimum(np.floor(index.max(0)) + 1, grid.size_xyz).astype(int)
    if (low >= high).any():
        return None
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def part_of(grid: Grid, box_zyx: tuple[slice, slice, slice]) -> Grid:
    """The grid of a box of voxels."""
    x, y, z = box_zyx[::-1]
    origin = grid.to_patient((x.start, y.start, z.start))
    return replace(
        grid.slab(z.start, z.stop),
        size_xyz=(x.stop - x.start, y.stop - y.start, z.stop - z.start),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
    )
