"""A CT slice as people look at it: millimetres to the patient's left and back, whatever way the patient lay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.review_document import ReviewGrid, ReviewRing

Box = tuple[float, float, float, float]
"""Left, top, width, height in mm of the plane."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """How a slice's pixels (column, row) lie on the report: u mm to the patient's left, v mm to the back.

    Attributes:
        columns_run_back: whether columns run to the back, as in a patient who lies on the side.
        flip_u: whether pixels run the other way than u.
        flip_v: the same for v.
        size_uv: pixels along u and v.
        spacing_uv_mm: between pixel centres along u and v.
    """

    columns_run_back: bool
    flip_u: bool
    flip_v: bool
    size_uv: tuple[int, int]
    spacing_uv_mm: tuple[float, float]

    @classmethod
    def of_grid(cls, grid: ReviewGrid) -> Plane:
        """The plane of every slice of a grid; its slices are axial."""
        _, back, left = grid.upright_axes  # 1: rows, 2: columns
        sizes, spacings = (
            {2: grid.size_xyz[0], 1: grid.size_xyz[1]},
            {2: grid.spacing_mm[0], 1: grid.spacing_mm[1]},
        )
        return cls(
            columns_run_back=back == 2,
            flip_u=grid.upright_flipped[2],
            flip_v=grid.upright_flipped[1],
            size_uv=(sizes[left], sizes[back]),
            spacing_uv_mm=(spacings[left], spacings[back]),
        )

    def turned(self, pixels: NDArray[np.int16]) -> NDArray[np.int16]:
        """The slice (row, column) as (v, u)."""
        turned = pixels.T if self.columns_run_back else pixels
        return turned[:: -1 if self.flip_v else 1, :: -1 if self.flip_u else 1]

    def points_mm(self, points_px: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Points x, y, x, y, ... of the slice as rows (u, v) in mm; (0, 0) is the first turned pixel's centre."""
        points = np.asarray(points_px, np.float64).reshape(-1, 2)
        uv = points[:, ::-1].copy() if self.columns_run_back else points.copy()
        for axis, flip in enumerate((self.flip_u, self.flip_v)):
            if flip:
                uv[:, axis] = self.size_uv[axis] - 1 - uv[:, axis]
        return uv * self.spacing_uv_mm

    def path(self, rings: Sequence[ReviewRing]) -> str:
        """Rings as the `d` of an SVG path in mm."""
        lines = [" ".join(f"{u:.1f},{v:.1f}" for u, v in self.points_mm(ring.points_px)) for ring in rings]
        return " ".join(f"M{line}Z" for line in lines)
