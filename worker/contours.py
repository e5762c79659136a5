"""Fields to closed planar contours on the CT's own slices, at sub-pixel precision.

A contour runs where the field crosses its level, found by marching squares. Whatever happens to it
afterwards (simplification, rounding), every pixel centre stays on the side on which the field has it. So
contours of nested fields stay nested, and a reader that asks whether pixel centres lie inside gets back
exactly the field's mask.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, cast

import contourpy
import numpy as np
from numpy.typing import NDArray

from worker.errors import ResultImplausible
from worker.keyhole import cut_keyhole
from worker.series import CTSeries
from worker.simplify import Ring, clear_of_centres, simplify_rings

MIN_AREA_PX: Final = 4.0
LEVEL_SLACK: Final = 1e-6
DECIMALS: Final = 3
SIMPLIFY_MM: Final = 0.02
# ContourData must fit into 65,534 bytes, for a peer may encode it in Explicit VR (PS3.3 C.8.8.6). A point
# takes at most three times nine characters and three backslashes while coordinates stay below ten metres.
MAX_POINTS: Final = 2180
# What a contour of more points may be moved by: many make planning systems slow, too many cannot be written.
_COARSER_MM: Final = ((1000, 0.05), (MAX_POINTS, 0.1), (MAX_POINTS, 0.3))
_OuterOffset: TypeAlias = tuple[list[NDArray[np.float64]], list[NDArray[np.uint32]]]


@dataclass(frozen=True, kw_only=True)
class PlanarContour:
    """One closed contour on one slice.

    Attributes:
        slice_index: index into the series' slices.
        points_mm: (n, 3) LPS mm, rounded to micrometres; the first point is not repeated. A hole is reached
            through a channel of zero width whose points occur twice, bit for bit (PS3.3 C.8.8.6.3).
    """

    slice_index: int
    points_mm: NDArray[np.float64]


class PixelRing(NamedTuple):
    """One closed line on one slice.

    Attributes:
        slice_index: index into the series' slices.
        points_px: (n, 2) column, row; (0, 0) is the centre of the slice's first pixel. The first point is not
            repeated.
    """

    slice_index: int
    points_px: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Polygon:
    """An outer ring and its holes on one slice, in pixel indices (column, row)."""

    slice_index: int
    rings: tuple[Ring, ...]

    @property
    def area_px(self) -> float:
        return abs(sum(ring_area(ring.points) for ring in self.rings))


def planar_contours(
    field_zyx: NDArray[np.floating],
    level: float,
    series: CTSeries,
    *,
    fill_holes: bool,
    min_area_px: float = MIN_AREA_PX,
) -> list[PlanarContour]:
    """Closed contours of `field >= level` on the series' slices.

    Args:
        field_zyx: (z, y, x) on the series' grid, finite, below the level away from the structure.
        level: the value at which the contour runs.
        series: gives each slice its position, orientation and pixel spacing.
        fill_holes: leave holes out; otherwise they become keyholes.
        min_area_px: smaller fragments are dropped, unless nothing would be left.

    Returns:
        Contours in slice order.
    """
    polygons = list(_trace(field_zyx, level, series, fill_holes=fill_holes))
    kept = [p for p in polygons if p.area_px >= min_area_px]
    return [_to_patient(p, series) for p in kept or polygons]


def nested_contours(
    fields: Mapping[str, NDArray[np.floating]], level: float, series: CTSeries, *, fill_holes: bool
) -> dict[str, list[PlanarContour]]:
    """Contours of a mean and its bounds, which stay nested when fragments are dropped.

    If the mean consists of nothing but small fragments, the fragments of all fields are kept. Otherwise a
    bound of which only fragments are left has no contours.

    Args:
        fields: `mean`, and any further field (z, y, x) that is nowhere on the other side of it.
        level: the value at which all contours run.
        series: as for `planar_contours`.
        fill_holes: as for `planar_contours`.

    Returns:
        Contours under the names of the fields.
    """
    polygons = _nested_polygons(fields, level, series, fill_holes=fill_holes)
    return {n: [_to_patient(p, series) for p in ps] for n, ps in polygons.items()}


def nested_rings(
    fields: Mapping[str, NDArray[np.floating]], level: float, series: CTSeries, *, fill_holes: bool
) -> dict[str, list[PixelRing]]:
    """The same contours as `nested_contours`, in pixels of their slices, and each hole as a ring of its own."""
    polygons = _nested_polygons(fields, level, series, fill_holes=fill_holes)
    return {
        n: [PixelRing(p.slice_index, ring.simplified) for p in ps for ring in p.rings]
        for n, ps in polygons.items()
    }


def _nested_polygons(
    fields: Mapping[str, NDArray[np.floating]], level: float, series: CTSeries, *, fill_holes: bool
) -> dict[str, list[_Polygon]]:
    polygons = {n: list(_trace(f, level, series, fill_holes=fill_holes)) for n, f in fields.items()}
    large = any(p.area_px >= MIN_AREA_PX for p in polygons["mean"])
    least = MIN_AREA_PX if large else 0.0
    return {n: [p for p in ps if p.area_px >= least] for n, ps in polygons.items()}


def ring_area(points: NDArray[np.float64]) -> float:
    """Signed area of a closed polygon (n, 2), in the square of its unit; keyholes count as holes."""
    x, y = points[:, 0], points[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _trace(
    field_zyx: NDArray[np.floating], level: float, series: CTSeries, *, fill_holes: bool
) -> Iterator[_Polygon]:
    """Simplified polygons of all slices."""
    if field_zyx.shape != series.hu.shape:
        raise ValueError(f"field of shape {field_zyx.shape} on a series of shape {series.hu.shape}")
    threshold = level - LEVEL_SLACK
    polygons: list[tuple[int, list[NDArray[np.float64]]]] = []
    for index in np.flatnonzero(_reaches(field_zyx, threshold)):
        for traced in _march(field_zyx[index], threshold):
            polygons.append((int(index), traced[:1] if fill_holes else traced))
    spacing_mm = series.grid.spacing_mm[:2]
    rings = [clear_of_centres(points) for _, group in polygons for points in group]
    simplified = iter(simplify_rings(rings, spacing_mm, SIMPLIFY_MM))
    for slice_index, group in polygons:
        polygon = [next(simplified) for _ in group]
        yield _Polygon(slice_index=slice_index, rings=tuple(_within_limit(polygon, spacing_mm)))


def _reaches(field_zyx: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Slices in which the field reaches the threshold; refuses numbers that are none."""
    highest = field_zyx.max(axis=(1, 2))
    if not np.isfinite(highest).all():
        raise ResultImplausible("A structure's field holds values that are not numbers.")
    return np.asarray(highest > threshold)


def _march(field_yx: NDArray[np.floating], threshold: float) -> list[list[NDArray[np.float64]]]:
    """Marching squares on one slice: per polygon its outer ring, then its holes, each (n, 2) column, row.

    Works in the bounding box of the structure, padded by one pixel so that lines close at the image's edge.
    """
    inside = field_yx > threshold
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, left = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
    box = field_yx[top : rows[-1] + 2, left : columns[-1] + 2].astype(np.float64) - threshold
    # A value next to nothing would put the contour onto the pixel's centre, where rounding decides.
    least = 1e-5 * np.abs(box).max()
    box = np.where(box > 0, np.maximum(box, least), np.minimum(box, -least))
    padded = np.pad(box, 1, constant_values=-max(threshold, least))
    tracer = contourpy.contour_generator(z=padded, fill_type=contourpy.FillType.OuterOffset)
    points, offsets = cast(_OuterOffset, tracer.filled(0.0, np.inf))
    shift = np.array([left - 1, top - 1], dtype=np.float64)
    return [
        [p[a : b - 1] + shift for a, b in zip(o[:-1], o[1:], strict=True)]
        for p, o in zip(points, offsets, strict=True)
    ]


def _within_limit(rings: Sequence[Ring], spacing_mm: tuple[float, float]) -> Sequence[Ring]:
    """Simplify a long contour further; a very long one until its Contour Data can be encoded."""
    for most, tolerance_mm in _COARSER_MM:
        if _point_count(rings) > most:
            rings = simplify_rings(rings, spacing_mm, tolerance_mm)
    if _point_count(rings) > MAX_POINTS:
        raise ResultImplausible(f"A contour of {_point_count(rings)} points is too long for an RTSTRUCT.")
    return rings


def _point_count(rings: Sequence[Ring]) -> int:
    channels = 4 * (len(rings) - 1)
    return sum(len(ring.kept) for ring in rings) + channels


def _to_patient(polygon: _Polygon, series: CTSeries) -> PlanarContour:
    """Pixel indices (column, row) to LPS mm by the slice's own position (PS3.3 C.7.6.2.1.1)."""
    outer, *holes = (ring.simplified for ring in polygon.rings)
    indices = cut_keyhole(outer, holes) if holes else outer
    column_mm, row_mm, _ = series.grid.spacing_mm
    axes = np.asarray(series.grid.direction).reshape(3, 3)
    origin = series.slice_positions_mm[polygon.slice_index]
    points = (
        origin
        + np.outer(indices[:, 0] * column_mm, axes[:, 0])
        + np.outer(indices[:, 1] * row_mm, axes[:, 1])
    )
    return PlanarContour(slice_index=polygon.slice_index, points_mm=np.round(points, DECIMALS) + 0.0)
