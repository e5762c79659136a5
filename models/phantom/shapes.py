"""Shapes as fields: negative inside, positive outside, near the surface a distance in mm.

Every function takes `Points` (mm) and returns a field of their broadcast shape (z, y, x), float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from models.phantom.lattice import FloatArray, Points

Vector = tuple[float, float, float]  # x, y, z in mm


def ellipsoid(p: Points, centre: Vector, radii: Vector) -> FloatArray:
    """An ellipsoid; the field is the usual first-order distance k0 (k0 - 1) / k1."""
    u = [(c - o) / r for c, o, r in zip((p.x, p.y, p.z), centre, radii, strict=True)]
    k0 = np.sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2) + np.float32(1e-6)
    k1 = np.sqrt(sum((ui / r) ** 2 for ui, r in zip(u, radii, strict=True))) + np.float32(1e-6)
    return np.asarray(k0 * (k0 - 1) / k1, dtype=np.float32)


def capsule(p: Points, start: Vector, end: Vector, radius: float) -> FloatArray:
    """A rod with round ends."""
    axis = [e - s for s, e in zip(start, end, strict=True)]
    from_start = [c - s for c, s in zip((p.x, p.y, p.z), start, strict=True)]
    along = sum(f * a for f, a in zip(from_start, axis, strict=True)) / sum(a * a for a in axis)
    along = np.clip(along, 0, 1)
    squared = sum((f - along * a) ** 2 for f, a in zip(from_start, axis, strict=True))
    return np.asarray(np.sqrt(squared) - radius, dtype=np.float32)


def slanted_plate(p: Points, centre: Vector, radii: Vector, tilt: float) -> FloatArray:
    """An ellipsoid whose thin x axis leans outwards with height: x is sheared by `tilt` per mm of z."""
    leaned = Points(p.x - np.float32(tilt) * (p.z - np.float32(centre[2])), p.y, p.z)
    return ellipsoid(leaned, centre, radii)


def tube(p: Points, knots: Sequence[Sequence[float]]) -> FloatArray:
    """A tube that follows z: knots are rows (z, centre x, centre y, radius x, radius y) in mm, z ascending.

    Between knots centre and radii run smoothly; beyond the ends they stay constant, so cut with `between`.
    """
    table = np.asarray(knots, dtype=np.float64)
    z = np.asarray(p.z, dtype=np.float64)
    cx, cy, rx, ry = (_smooth(z, table[:, 0], table[:, i]) for i in range(1, 5))
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


def _smooth(z: np.ndarray, knots: np.ndarray, values: np.ndarray) -> FloatArray:
    """Piecewise cosine interpolation: monotone between knots, flat at each, constant beyond."""
    i = np.clip(np.searchsorted(knots, z, side="right") - 1, 0, len(knots) - 2)
    t = np.clip((z - knots[i]) / (knots[i + 1] - knots[i]), 0, 1)
    weight = 0.5 - 0.5 * np.cos(np.pi * t)
    return np.asarray(values[i] * (1 - weight) + values[i + 1] * weight, dtype=np.float32)
