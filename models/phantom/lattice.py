"""Where a phantom is sampled: an axis-aligned lattice in patient millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Vector = tuple[float, float, float]  # x, y, z in mm
Box = tuple[slice, slice, slice]  # z, y, x


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

    def points(self) -> Points:
        """The lattice's points by their axes: three arrays that broadcast to (z, y, x)."""
        z, y, x = self.axis_mm(0), self.axis_mm(1), self.axis_mm(2)
        return Points(x[None, None, :], y[None, :, None], z[:, None, None])

    def slab(self, first: int, last: int) -> Lattice:
        """The slices `first` to `last` (exclusive) as a lattice of their own."""
        z_mm = self.origin_zyx_mm[0] + first * self.spacing_zyx_mm[0]
        return Lattice(
            shape_zyx=(last - first, *self.shape_zyx[1:]),
            spacing_zyx_mm=self.spacing_zyx_mm,
            origin_zyx_mm=(z_mm, *self.origin_zyx_mm[1:]),
        )

    def within(self, low_yx_mm: tuple[float, float], high_yx_mm: tuple[float, float]) -> tuple[Box, Lattice]:
        """The rows and columns between two corners (y, x mm), as a box (z, y, x) and as a lattice of their own."""
        spans = [slice(0, self.shape_zyx[0])]
        for axis, low, high in zip((1, 2), low_yx_mm, high_yx_mm, strict=True):
            axis_mm = self.axis_mm(axis)
            spans.append(_span(axis_mm, axis_mm, low, high))
        size = [span.stop - span.start for span in spans]
        corner = [
            o + span.start * s
            for o, s, span in zip(self.origin_zyx_mm, self.spacing_zyx_mm, spans, strict=True)
        ]
        part = Lattice(
            shape_zyx=(size[0], size[1], size[2]),
            spacing_zyx_mm=self.spacing_zyx_mm,
            origin_zyx_mm=(corner[0], corner[1], corner[2]),
        )
        return (spans[0], spans[1], spans[2]), part


@dataclass(frozen=True)
class Points:
    """Coordinates of sample points in mm, three arrays that broadcast to (z, y, x)."""

    x: FloatArray
    y: FloatArray
    z: FloatArray

    def mirrored(self, side: int) -> Points:
        """Points seen from one side of the body: with `side` = -1 the right side looks like the left."""
        return self if side == 1 else self._mirror

    @cached_property
    def _mirror(self) -> Points:
        return Points(-self.x, self.y, self.z)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (z, y, x) of a field over these points."""
        return np.broadcast_shapes(self.x.shape, self.y.shape, self.z.shape)

    def near(self, low: Vector, high: Vector) -> tuple[Box, Points]:
        """The box (z, y, x) of points that may lie between two corners (x, y, z mm), and those points."""
        z, y, x = (
            _span(least, most, low[axis], high[axis])
            for (least, most), axis in zip(self._reach, (2, 1, 0), strict=True)
        )
        box = z, y, x
        return box, Points(*(np.broadcast_to(c, self.shape)[box] for c in (self.x, self.y, self.z)))

    @cached_property
    def _reach(self) -> list[tuple[FloatArray, FloatArray]]:
        """Least and greatest coordinate per slice (z), row (y) and column (x)."""
        reach = []
        for axis, c in enumerate((self.z, self.y, self.x)):
            others = tuple(a for a in range(3) if a != axis)
            whole = np.broadcast_to(c, self.shape)
            reach.append((whole.min(others), whole.max(others)))
        return reach


def _span(least: FloatArray, most: FloatArray, low: float, high: float) -> slice:
    """The run of indices whose points may lie between low and high."""
    hit = np.flatnonzero((most >= low) & (least <= high))
    return slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else slice(0, 0)
