"""How wide the band between the bounds is, and where to look first."""

from __future__ import annotations

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


def band_of(structure: StructureResult, series: CTSeries) -> Band:
    """Measure one structure's band on the CT's own slices."""
    upper = _surface(structure.upper, structure.level, series.grid)
    lower = _surface(structure.lower, structure.level, series.grid)
    if len(upper) == 0 or len(lower) == 0:
        return Band(float("nan"), float("nan"), ())
    width, _ = cKDTree(lower[:, 1:]).query(upper[:, 1:])
    return Band(float(width.mean()), float(np.percentile(width, 95)), _places(upper[:, 0], width, series))


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


def _places(slices: NDArray[np.float64], width: NDArray[np.float64], series: CTSeries) -> tuple[Place, ...]:
    """Slices by their 90th percentile of width, widest first, neighbours taken as one."""
    numbers = np.unique(slices).astype(int)
    typical = {int(n): float(np.percentile(width[slices == n], 90)) for n in numbers}
    apart = max(1, round(NEIGHBOURS_MM / series.grid.spacing_mm[2]))
    chosen: list[Place] = []
    for number in sorted(typical, key=lambda n: -typical[n]):
        if all(abs(number - place.slice_index) > apart for place in chosen):
            chosen.append(Place(number, typical[number]))
    return tuple(chosen[:PLACES])
