"""Where a phantom is sampled: an axis-aligned lattice in patient millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Sample points in the phantom's frame: x to the left, y to the back, z to the head (LPS), in mm.

    The frame's origin is midway between the centres of the femoral heads.
    """

    shape_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    origin_zyx_mm: tuple[float, float, float]  # centre of voxel (0, 0, 0)

    def axis_mm(self, axis: int) -> FloatArray:
        """Coordinates in mm along one axis (0 = z, 1 = y, 2 = x)."""
        steps = np.arange(self.shape_zyx[axis], dtype=np.float32)
        return np.float32(self.origin_zyx_mm[axis]) + steps * np.float32(self.spacing_zyx_mm[axis])

    def slab(self, first: int, last: int) -> Lattice:
        """The slices `first` to `last` (exclusive) as a lattice of their own."""
        z_mm = self.origin_zyx_mm[0] + first * self.spacing_zyx_mm[0]
        return Lattice(
            shape_zyx=(last - first, *self.shape_zyx[1:]),
            spacing_zyx_mm=self.spacing_zyx_mm,
            origin_zyx_mm=(z_mm, *self.origin_zyx_mm[1:]),
        )

    @staticmethod
    def around(
        centre_zyx_mm: tuple[float, float, float],
        shape_zyx: tuple[int, int, int],
        spacing_zyx_mm: tuple[float, float, float],
    ) -> Lattice:
        """A lattice whose middle lies at a point given in mm."""
        corner = [
            c - (n - 1) / 2 * s for c, n, s in zip(centre_zyx_mm, shape_zyx, spacing_zyx_mm, strict=True)
        ]
        return Lattice(
            shape_zyx=shape_zyx,
            spacing_zyx_mm=spacing_zyx_mm,
            origin_zyx_mm=(corner[0], corner[1], corner[2]),
        )


@dataclass(frozen=True)
class Points:
    """Coordinates of sample points in mm, three arrays that broadcast to (z, y, x)."""

    x: FloatArray
    y: FloatArray
    z: FloatArray

    def mirrored(self, side: int) -> Points:
        """Points seen from one side of the body: with `side` = -1 the right side looks like the left."""
        return Points(self.x * np.float32(side), self.y, self.z)
