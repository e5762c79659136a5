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

    def extent_mm(self, axis: int) -> float:
        """Length from the first to the last point along an axis (0 = z)."""
        return (self.shape_zyx[axis] - 1) * self.spacing_zyx_mm[axis]

    def middle_mm(self, axis: int) -> float:
        """Coordinate half way along an axis."""
        return self.origin_zyx_mm[axis] + self.extent_mm(axis) / 2

    def carry(self, volume: FloatArray, target: Lattice, *, outside: float) -> FloatArray:
        """A volume (z, y, x) on this lattice, linearly interpolated on another."""
        for axis in range(3):
            index = (target.axis_mm(axis) - self.origin_zyx_mm[axis]) / self.spacing_zyx_mm[axis]
            last = self.shape_zyx[axis] - 1
            below = np.clip(np.floor(index), 0, max(last - 1, 0)).astype(int)
            shape = [-1 if a == axis else 1 for a in range(3)]
            weight = np.clip(index - below, 0, 1).astype(np.float32).reshape(shape)
            lower, upper = np.take(volume, below, axis), np.take(volume, np.minimum(below + 1, last), axis)
            volume = lower + weight * (upper - lower)
            beyond = (index < -0.5) | (index > last + 0.5)
            volume[tuple(beyond if a == axis else slice(None) for a in range(3))] = outside
        return volume

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
