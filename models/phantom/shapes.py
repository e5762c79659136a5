"""Shapes as fields: negative inside, positive outside, near the surface a distance in mm.

Every function takes `Points` (mm) and returns a field of their broadcast shape (z, y, x), float32. Small shapes are
computed only where they are near; further away than `NEAR_MM` their field is `FAR_MM`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from models.phantom.lattice import FloatArray, Points, Vector

NEAR_MM, FAR_MM = 14.0, 60.0


def ellipsoid(p: Points, centre: Vector, radii: Vector) -> FloatArray:
    """An ellipsoid; the field is the usual first-order distance k0 (k0 - 1) / k1."""
    low, high = _corners([centre], radii)
    return _near(p, low, high, lambda q: _ellipsoid(q, centre, radii))


def _ellipsoid(p: Points, centre: Vector, radii: Vector) -> FloatArray:
    u = [(c - o) / r for c, o, r in zip((p.x, p.y, p.z), centre, radii, strict=True)]
    k0 = np.sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2) + np.float32(1e-6)
    k1 = np.sqrt(sum((ui / r) ** 2 for ui, r in zip(u, radii, strict=True))) + np.float32(1e-6)
    return np.asarray(k0 * (k0 - 1) / k1, dtype=np.float32)


def capsule(p: Points, start: Vector, end: Vector, radius: float) -> FloatArray:
    """A rod with round ends."""
    low, high = _corners([start, end], (radius,) * 3)
    return _near(p, low, high, lambda q: _capsule(q, start, end, radius))


def _capsule(p: Points, start: Vector, end: Vector, radius: float) -> FloatArray:
    axis = [e - s for s, e in zip(start, end, strict=True)]
    from_start = [c - s for c, s in zip((p.x, p.y, p.z), start, strict=True)]
    along = sum(f * a for f, a in zip(from_start, axis, strict=True)) / max(sum(a * a for a in axis), 1e-6)
    along = np.clip(along, 0, 1)
    squared = sum((f - along * a) ** 2 for f, a in zip(from_start, axis, strict=True))
    return np.asarray(np.sqrt(squared) - radius, dtype=np.float32)


def slanted_plate(p: Points, centre: Vector, radii: Vector, tilt: float) -> FloatArray:
    """An ellipsoid whose thin x axis leans outwards with height: x is sheared by `tilt` per mm of z."""
    leaned = Points(p.x - np.float32(tilt) * (p.z - np.float32(centre[2])), p.y, p.z)
    return ellipsoid(leaned, centre, radii)


def tube(p: Points, knots: Sequence[Sequence[float]] | NDArray[np.float64]) -> FloatArray:
    """A tube that follows z: knots are rows (z, centre x, centre y, radius x, radius y) in mm, z ascending.

    Between knots centre and radii run smoothly; beyond the ends they stay constant, so cut with `between`.
    """
    table = np.asarray(knots, dtype=np.float32)
    below, weight = _between_knots(p.z, table[:, 0])
    cx, cy, rx, ry = (
        table[below, i] * (1 - weight) + table[below + 1, i] * weight for i in range(1, table.shape[1])
    )
    return elliptic_cylinder(p, (cx, cy), (rx, ry))


def elliptic_cylinder(
    p: Points, centre: tuple[FloatArray, FloatArray], radii: tuple[FloatArray, FloatArray]
) -> FloatArray:
    """An ellipse in each slice; centre and radii (mm) may change from slice to slice."""
    ux, uy = (p.x - centre[0]) / radii[0], (p.y - centre[1]) / radii[1]
    k0 = np.sqrt(ux**2 + uy**2) + np.float32(1e-6)
    k1 = np.sqrt((ux / radii[0]) ** 2 + (uy / radii[1]) ** 2) + np.float32(1e-6)
    return np.asarray(k0 * (k0 - 1) / k1, dtype=np.float32)


def between(p: Points, low_mm: float, high_mm: float) -> FloatArray:
    """The slab low <= z <= high."""
    return np.asarray(np.maximum(np.float32(low_mm) - p.z, p.z - np.float32(high_mm)), dtype=np.float32)


def union(*fields: FloatArray) -> FloatArray:
    """Inside any of the shapes."""
    return np.asarray(reduce(np.minimum, fields), dtype=np.float32)


def intersection(*fields: FloatArray) -> FloatArray:
    """Inside all of the shapes."""
    return np.asarray(reduce(np.maximum, fields), dtype=np.float32)


def blend(first: FloatArray, second: FloatArray, width_mm: float) -> FloatArray:
    """A rounded intersection: the edge between two surfaces is smoothed over `width_mm`."""
    h = np.clip(0.5 + 0.5 * (first - second) / width_mm, 0, 1)
    return np.asarray(first * h + second * (1 - h) + width_mm * h * (1 - h), dtype=np.float32)


def _corners(centres: Sequence[Vector], radii: Vector) -> tuple[Vector, Vector]:
    """Lower and upper corner (x, y, z mm) of a box around points, widened by radii and `NEAR_MM`."""
    table = np.asarray(centres)
    reach = np.asarray(radii) + NEAR_MM
    low, high = table.min(0) - reach, table.max(0) + reach
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _near(p: Points, low: Vector, high: Vector, shape: Callable[[Points], FloatArray]) -> FloatArray:
    """A shape's field inside a box, `FAR_MM` outside it."""
    box, inside = p.near(low, high)
    field = np.full(p.shape, FAR_MM, dtype=np.float32)
    if field[box].size:
        field[box] = shape(inside)
    return field


def _between_knots(z: FloatArray, knots: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Per point the knot below it and the weight of the next one, by cosine: smooth, flat at each knot."""
    below = np.clip(np.searchsorted(knots, z, side="right") - 1, 0, len(knots) - 2)
    share = np.clip((z - knots[below]) / (knots[below + 1] - knots[below]), 0, 1)
    return below, np.asarray(
        np.float32(0.5) - np.float32(0.5) * np.cos(np.float32(np.pi) * share), np.float32
    )
