"""Where a physician should look first: few places, ranked by how wide the band is there, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from models.structures import structure
from worker.contours import PixelRing
from worker.figures import Figures
from worker.review_document import PlaceCode, ReviewPlace
from worker.series import CTSeries
from worker.uncertainty import NEIGHBOURS_MM, Widths

PLACES: Final = 8
PER_STRUCTURE: Final = 3
NARROW_MM: Final = 3.0  # a band that is narrower is nothing to look at
INTERFACE_MM: Final = 4.0  # from the middle of half a band to the neighbour's mean contour
APART_MM: Final = 15.0  # in the plane; places of one structure that lie closer are one
LEAST_POINTS: Final = 6
SIDES: Final = ("right", "left", "anterior", "posterior")

Rings = Mapping[str, Sequence[PixelRing]]  # by bound


@dataclass(frozen=True)
class _Candidate:
    """A place of one structure; `label` is its kind and the neighbour or side it is at."""

    structure: str
    code: PlaceCode
    label: str
    slice_index: int
    point_px: tuple[float, float]
    band_mm: float | None


def look_here(figures: Sequence[Figures], rings: Mapping[str, Rings], series: CTSeries) -> list[ReviewPlace]:
    """The places, the likeliest edit first.

    Ends are measured along the slices, from the upper bound's end to the lower bound's. Everything between them is
    measured as the band is, and told by what lies there: another structure's mean contour, or a side of the patient.

    Args:
        figures: every structure with its band.
        rings: per structure the rings of `mean`, `lower` and `upper`.
        series: the CT.
    """
    found = [c for each in figures for c in _of_structure(each, rings, series)]
    return [_place(candidate, series) for candidate in _chosen(found, series)]


def _chosen(found: Sequence[_Candidate], series: CTSeries) -> list[_Candidate]:
    """Few of many: widest first, no structure fills the list, the CTV is always in it."""
    ranked = sorted(found, key=lambda c: -(c.band_mm if c.band_mm is not None else np.inf))
    chosen: list[_Candidate] = []
    for candidate in ranked:
        same = [c for c in chosen if c.structure == candidate.structure]
        is_new = not any(_is_near(candidate, c, series) for c in same) and not _is_told(candidate, chosen)
        if is_new and len(same) < PER_STRUCTURE and _is_wide(candidate):
            chosen.append(candidate)
    chosen = chosen[:PLACES]
    target = next((c for c in ranked if structure(c.structure).kind == "target"), None)
    if target is not None and all(c.structure != target.structure for c in chosen):
        chosen = [*chosen[: PLACES - 1], target]
    return chosen


def _is_wide(c: _Candidate) -> bool:
    return c.band_mm is None or c.band_mm >= NARROW_MM


def _is_near(a: _Candidate, b: _Candidate, series: CTSeries) -> bool:
    offsets = slice_offsets_mm(series)
    apart = np.subtract(a.point_px, b.point_px) * series.grid.spacing_mm[:2]
    height = abs(offsets[a.slice_index] - offsets[b.slice_index])
    return bool(height <= NEIGHBOURS_MM and np.hypot(*apart) <= APART_MM)


def _is_told(candidate: _Candidate, chosen: Sequence[_Candidate]) -> bool:
    """Whether the same interface is in the list already, seen from its other side."""
    return candidate.code == "interface" and any(
        c.code == "interface" and (c.structure, c.label) == (candidate.label, candidate.structure)
        for c in chosen
    )


def _of_structure(each: Figures, rings: Mapping[str, Rings], series: CTSeries) -> Iterator[_Candidate]:
    name, own = each.structure.name, rings[each.structure.name]
    if not own["mean"]:
        return
    if each.widths is None:
        largest = max(own["mean"], key=lambda ring: float(np.ptp(ring.points_px, axis=0).prod()))
        point = _middle([largest])
        yield _Candidate(name, "no-lower-bound", "", largest.slice_index, point, None)
        return
    yield from _ends(name, own, series)
    yield from _between(each, each.widths, rings, series)


def _ends(name: str, own: Rings, series: CTSeries) -> Iterator[_Candidate]:
    spans = {bound: _span(own[bound]) for bound in ("mean", "lower", "upper") if own[bound]}
    if len(spans) < 3:
        return
    offsets = slice_offsets_mm(series)
    rises = series.grid.direction[8] > 0
    for end in (0, 1):
        code: PlaceCode = "inferior-end" if (end == 0) == rises else "superior-end"
        band = abs(offsets[spans["upper"][end]] - offsets[spans["lower"][end]])
        index = spans["mean"][end]
        point = _middle([ring for ring in own["mean"] if ring.slice_index == index])
        yield _Candidate(name, code, "", index, point, float(band))


def _between(
    each: Figures, widths: Widths, rings: Mapping[str, Rings], series: CTSeries
) -> Iterator[_Candidate]:
    """The widest slice of each interface and each side, ends left out."""
    name, offsets = each.structure.name, slice_offsets_mm(series)
    first, last = _span(rings[name]["mean"])
    margin = min(NEIGHBOURS_MM, (offsets[last] - offsets[first]) / 4)
    heights = offsets[widths.slices]
    inner = (heights > offsets[first] + margin) & (heights < offsets[last] - margin)
    middle = (widths.upper[:, 1:] + widths.nearest_mm) / 2
    labels = _labels(middle, widths, {name: rings[name], **rings}, series)
    for label in np.unique(labels[inner]):
        chosen = inner & (labels == label)
        index, band = _widest_slice(widths, chosen)
        if index is None:
            continue
        x, y = _widest_point(widths, chosen & (widths.slices == index), rings[name]["mean"], series)
        code: PlaceCode = "border" if label in SIDES else "interface"
        yield _Candidate(name, code, str(label), index, (x, y), band)


def _labels(
    middle_mm: NDArray[np.float64], widths: Widths, rings: Mapping[str, Rings], series: CTSeries
) -> NDArray[np.str_]:
    """What each point (n,) of a band lies at: the nearest neighbour within reach, or else a side.

    The first of `rings` is the structure itself.
    """
    own, *others = ((name, each["mean"]) for name, each in rings.items() if each["mean"])
    away = middle_mm - points_mm(own[1], series).mean(0)
    sideways = np.abs(away[:, 0]) > np.abs(away[:, 1])
    labels = np.where(
        sideways,
        np.where(away[:, 0] > 0, "left", "right"),
        np.where(away[:, 1] > 0, "posterior", "anterior"),
    ).astype("<U32")
    nearest = widths.width_mm / 2 + INTERFACE_MM
    for name, neighbour in others:
        distance, _ = cKDTree(points_mm(neighbour, series)).query(middle_mm)
        closer = distance < nearest
        labels[closer], nearest = name, np.where(closer, distance, nearest)
    return labels


def _widest_slice(widths: Widths, chosen: NDArray[np.bool_]) -> tuple[int | None, float]:
    best: tuple[int | None, float] = (None, 0.0)
    for index in np.unique(widths.slices[chosen]):
        here = widths.width_mm[chosen & (widths.slices == index)]
        if len(here) >= LEAST_POINTS and (typical := float(np.percentile(here, 90))) > best[1]:
            best = (int(index), typical)
    return best


def _widest_point(
    widths: Widths, chosen: NDArray[np.bool_], mean: Sequence[PixelRing], series: CTSeries
) -> tuple[float, float]:
    """Pixels: halfway from the widest of the chosen points, all on one slice, to the mean contour of that slice."""
    here = np.flatnonzero(chosen)
    widest = here[int(widths.width_mm[here].argmax())]
    point = series.grid.to_index(widths.upper[widest, 1:])[:2]
    drawn = [ring.points_px for ring in mean if ring.slice_index == int(widths.upper[widest, 0])]
    if drawn:
        _, nearest = cKDTree(np.concatenate(drawn)).query(point)
        point = (point + np.concatenate(drawn)[nearest]) / 2
    return float(point[0]), float(point[1])


def _place(c: _Candidate, series: CTSeries) -> ReviewPlace:
    x, y = (round(float(v), 2) for v in c.point_px)
    mm = series.grid.to_patient((x, y, c.slice_index))
    return ReviewPlace(
        key="-".join(part for part in (c.structure, c.code, c.label) if part),
        structure=c.structure,
        code=c.code,
        reason=_reason(c),
        neighbour=c.label if c.code == "interface" else None,
        slice_index=c.slice_index,
        sop_instance_uid=series.sop_instance_uids[c.slice_index],
        point_px=(x, y),
        point_mm=(round(float(mm[0]), 2), round(float(mm[1]), 2), round(float(mm[2]), 2)),
        band_mm=None if c.band_mm is None else round(c.band_mm, 2),
    )


def _reason(c: _Candidate) -> str:
    if c.band_mm is None:
        return "no lower bound: not certain anywhere"
    where = {
        "inferior-end": "inferior end",
        "superior-end": "superior end",
        "interface": f"interface with {structure(c.label).words}" if c.code == "interface" else "",
        "border": f"{c.label} border",
    }[c.code]
    return f"{where}: band {c.band_mm:.0f} mm"


def slice_offsets_mm(series: CTSeries) -> NDArray[np.float64]:
    """Distance (z,) of each slice from the first along the slices' normal, mm."""
    offsets = series.grid.slice_offsets_mm
    even = np.arange(series.grid.size_xyz[2]) * series.grid.spacing_mm[2]
    return np.asarray(even if offsets is None else offsets, dtype=np.float64)


def _span(rings: Sequence[PixelRing]) -> tuple[int, int]:
    slices = [ring.slice_index for ring in rings]
    return min(slices), max(slices)


def _middle(rings: Sequence[PixelRing]) -> tuple[float, float]:
    x, y = np.concatenate([ring.points_px for ring in rings]).mean(0)
    return float(x), float(y)


def points_mm(rings: Sequence[PixelRing], series: CTSeries) -> NDArray[np.float64]:
    """All points (n, 3) of some rings, LPS mm."""
    columns = [
        np.column_stack([ring.points_px, np.full(len(ring.points_px), ring.slice_index)]) for ring in rings
    ]
    return series.grid.to_patient(np.concatenate(columns))
