"""How wide the band between the bounds is, and where to look first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from worker.grid import Grid
from worker.result import StructureResult
from worker.series import CTSeries

PLACES = 5
NEIGHBOURS_MM = 7.0  # slices this close are one place to look at


@dataclass(frozen=True)
class Place:
    """A slice where an edit is likely."""

    slice_index: int
    band_mm: float


@dataclass(frozen=True)
class Band:
    """Width of the band in mm: how far the upper bound's surface lies from the lower bound's.

    Each point of the upper contour is measured to the nearest point of the lower contour, in 3D; where there is no
    lower contour at all, to nothing, and the widths are NaN.
    """

    mean_mm: float
    p95_mm: float
    look_here: tuple[Place, ...]  # widest first


@dataclass(frozen=True)
class Widths:
    """The band point by point: where the upper bound's surface is, and how far the lower bound's is from there.

    Attributes:
        upper: rows of (slice index, x, y, z LPS mm).
        nearest_mm: (n, 3) the nearest point of the lower bound's surface, LPS mm.
        width_mm: (n,) the distance between the two.
    """

    upper: NDArray[np.float64]
    nearest_mm: NDArray[np.float64]
    width_mm: NDArray[np.float64]

    @property
    def slices(self) -> NDArray[np.intp]:
        """(n,) the slice that each point lies on."""
        return self.upper[:, 0].astype(np.intp)


def widths_of(structure: StructureResult, series: CTSeries) -> Widths | None:
    """Measure one structure's band on the CT's own slices; None where a bound has no contour."""
    upper = _surface(structure.upper, structure.level, series.grid)
    lower = _surface(structure.lower, structure.level, series.grid)
    if len(upper) == 0 or len(lower) == 0:
        return None
    width, nearest = cKDTree(lower[:, 1:]).query(upper[:, 1:])
    return Widths(upper, lower[nearest, 1:], width)


def band_of(widths: Widths | None, series: CTSeries) -> Band:
    """The band in figures."""
    if widths is None:
        return Band(float("nan"), float("nan"), ())
    typical = typical_widths(widths)
    mean, p95 = widths.width_mm.mean(), np.percentile(widths.width_mm, 95)
    return Band(float(mean), float(p95), _places(typical, series))


def typical_widths(widths: Widths) -> dict[int, float]:
    """Per slice of the upper bound the 90th percentile of the width, mm."""
    slices = widths.slices
    return {int(n): float(np.percentile(widths.width_mm[slices == n], 90)) for n in np.unique(slices)}


def _surface(field: NDArray[np.float32], level: float, grid: Grid) -> NDArray[np.float64]:
    """Points of a field's contours, rows of (slice index, x, y, z mm)."""
    rows: list[NDArray[np.float64]] = []
    for index in np.flatnonzero((field >= level).any((1, 2))):
        inside = np.argwhere(field[index] >= level)
        (y0, x0), (y1, x1) = np.maximum(inside.min(0) - 2, 0), inside.max(0) + 3
        padded = np.pad(field[index, y0:y1, x0:x1], 1)
        for line in find_contours(padded, level - 1e-6):  # type: ignore[no-untyped-call]
            columns = np.column_stack([line[:, 1] + x0 - 1, line[:, 0] + y0 - 1, np.full(len(line), index)])
            rows.append(np.column_stack([np.full(len(line), index), grid.to_patient(columns)]))
    return np.concatenate(rows) if rows else np.empty((0, 4))


def _places(typical: Mapping[int, float], series: CTSeries) -> tuple[Place, ...]:
    """Slices by their typical width, widest first, neighbours taken as one."""
    apart = max(1, round(NEIGHBOURS_MM / series.grid.spacing_mm[2]))
    chosen: list[Place] = []
    for number in sorted(typical, key=lambda n: -typical[n]):
        if all(abs(number - place.slice_index) > apart for place in chosen):
            chosen.append(Place(number, typical[number]))
    return tuple(chosen[:PLACES])
