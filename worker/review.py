"""A result as people review it: the one source of figures for the page and the report (`review_document.py`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from models.structures import structure
from worker.contours import PixelRing, nested_rings
from worker.figures import Figures
from worker.finding import Finding
from worker.grid import resample
from worker.guideline import check_guideline
from worker.pelvic_block import OUTSIDE_HU, PelvicBlock
from worker.result import Result, StructureResult
from worker.result_file import bounds_word
from worker.review_document import (
    Bound,
    Part,
    Review,
    ReviewBand,
    ReviewBundle,
    ReviewCheck,
    ReviewFinding,
    ReviewGrid,
    ReviewPrediction,
    ReviewRing,
    ReviewStructure,
    ReviewThird,
)
from worker.review_places import Rings, look_here, points_mm, slice_offsets_mm
from worker.roi_naming import DEFAULT_NAMING
from worker.rtstruct import WrittenRtstruct
from worker.series import CTSeries
from worker.software_version import SOFTWARE_VERSION
from worker.uncertainty import Widths, typical_widths
from worker.upright import Upright

BOUNDS: tuple[Bound, ...] = ("mean", "lower", "upper")
PARTS: tuple[Part, ...] = ("inferior", "middle", "superior")


def review_of(result: Result, figures: Sequence[Figures], written: WrittenRtstruct) -> Review:
    """Everything that people review a result by.

    Args:
        result: what segmentation found.
        figures: its numbers.
        written: the RTSTRUCT, with its round-trip proof; its contours are the same.
    """
    rings = {s.name: _rings(s, result.series) for s in result.structures}
    return Review(
        series_instance_uid=result.series.series_instance_uid,
        study_instance_uid=result.series.study_instance_uid,
        software_version=SOFTWARE_VERSION,
        bundle=ReviewBundle.model_validate(result.bundle, from_attributes=True),
        not_for_clinical_use=result.bundle.intended_use != "clinical",
        bounds=bounds_word(result.structures),
        passes=result.passes,
        seed=result.seed,
        device=result.device,
        grid=_grid(result.series),
        structures=[_structure(each, rings[each.structure.name], result.series, written) for each in figures],
        look_here=look_here(figures, rings, result.series),
        guideline=_guideline(result),
        findings=_findings(result.findings),
    )


def with_findings(review: Review, findings: Sequence[Finding]) -> Review:
    """The review with what was noticed after it was made."""
    return review.model_copy(update={"findings": _findings(findings)})


def _findings(findings: Sequence[Finding]) -> list[ReviewFinding]:
    return [ReviewFinding(code=f.code, message=f.message) for f in findings]


def _rings(s: StructureResult, series: CTSeries) -> Rings:
    fields = {"mean": s.mean, "lower": s.lower, "upper": s.upper}
    return nested_rings(fields, s.level, series, fill_holes=DEFAULT_NAMING.style(s.name).fill_holes)


def _grid(series: CTSeries) -> ReviewGrid:
    upright = Upright.of_grid(series.grid)
    return ReviewGrid(
        size_xyz=series.grid.size_xyz,
        spacing_mm=series.grid.spacing_mm,
        direction=series.grid.direction,
        slice_positions_mm=np.round(series.slice_positions_mm, 4).tolist(),
        slice_offsets_mm=np.round(slice_offsets_mm(series), 4).tolist(),
        upright_axes=upright.axes,
        upright_flipped=upright.flipped,
    )


def _structure(each: Figures, rings: Rings, series: CTSeries, written: WrittenRtstruct) -> ReviewStructure:
    s, row = each.structure, structure(each.structure.name)
    names = written.roi_names.get(s.name, {})
    return ReviewStructure(
        name=s.name,
        words=row.words,
        kind=row.kind,
        colour=row.colour,
        volume_cc=each.volume_cc,
        lower_volume_cc=each.lower_cc,
        upper_volume_cc=each.upper_cc,
        quality=round(s.quality, 4),
        quality_validated=s.quality_validated,
        predicted_dsc=_predicted(s),
        bounds=s.bounds,
        percent=s.percent,
        band=ReviewBand(mean_mm=_number(each.band.mean_mm), p95_mm=_number(each.band.p95_mm)),
        thirds=_thirds(each.widths, rings["mean"], series),
        band_by_slice_mm=_by_slice(each.widths, series),
        round_trip={bound: written.dsc[names[bound]] for bound in BOUNDS if bound in names},
        contours={
            "mean": _drawn(rings["mean"], series),
            "lower": _drawn(rings["lower"], series),
            "upper": _drawn(rings["upper"], series, each.widths),
        },
    )


def _predicted(s: StructureResult) -> ReviewPrediction | None:
    if s.predicted_dsc is None:
        return None
    return ReviewPrediction(**{key: round(value, 3) for key, value in asdict(s.predicted_dsc).items()})


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


def _by_slice(widths: Widths | None, series: CTSeries) -> list[float | None]:
    typical = {} if widths is None else typical_widths(widths)
    return [_number(typical.get(index, math.nan)) for index in range(len(series.hu))]


def _thirds(widths: Widths | None, mean: Sequence[PixelRing], series: CTSeries) -> list[ReviewThird]:
    """The band's width by thirds of the mean contour's height, z in LPS; what lies beyond an end counts to it."""
    if widths is None or not mean:
        return []
    heights = [float(series.slice_positions_mm[ring.slice_index][2]) for ring in mean]
    edges = np.linspace(min(heights), max(heights), 4)
    part = np.searchsorted(edges[1:3], widths.upper[:, 3], side="right")
    return [
        ReviewThird(
            part=name,
            from_z_mm=round(float(low), 2),
            to_z_mm=round(float(high), 2),
            mean_mm=_number(float(here.mean()) if len(here) else math.nan),
            p95_mm=_number(float(np.percentile(here, 95)) if len(here) else math.nan),
        )
        for number, (name, (low, high)) in enumerate(zip(PARTS, pairwise(edges), strict=True))
        for here in [widths.width_mm[part == number]]
    ]


def _drawn(rings: Sequence[PixelRing], series: CTSeries, widths: Widths | None = None) -> list[ReviewRing]:
    """Rings to hundredths of a pixel, with the band's width at each point where it is asked for."""
    known = None if widths is None else cKDTree(widths.upper[:, 1:])
    drawn = []
    for ring in rings:
        width = None
        if known is not None and widths is not None:
            _, nearest = known.query(points_mm([ring], series))
            width = np.round(widths.width_mm[nearest], 1).tolist()
        points = np.round(ring.points_px, 2).ravel().tolist()
        drawn.append(ReviewRing(slice_index=ring.slice_index, points_px=points, width_mm=width))
    return drawn


def _guideline(result: Result) -> list[ReviewCheck]:
    grid, hu = result.series.grid, result.series.hu
    masks: Mapping[str, NDArray[np.bool_]] = {s.name: s.mean >= s.level for s in result.structures}
    if grid.is_uneven:
        even = grid.evened()
        hu = resample(hu, grid, even, outside=OUTSIDE_HU, nearest=True)
        masks = {name: resample(m, grid, even, outside=0, nearest=True) for name, m in masks.items()}
        grid = even
    return [
        ReviewCheck(code=check.code, title=check.title, verdict=check.verdict, message=check.message)
        for check in check_guideline(PelvicBlock.cut(hu, grid, masks))
    ]
