"""The band's width along the body, slice by slice, as a small chart from the feet to the head."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from worker.review_document import Review, ReviewStructure

WIDTH, HEIGHT = 100.0, 26.0  # of the chart's view box
STEP_MM: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A chart: an area as the `d` of an SVG path, dividers of thirds as x, lines of the scale as y."""

    area: str
    dividers: tuple[float, ...]
    scale: tuple[float, ...]
    width: float = WIDTH
    height: float = HEIGHT


def profiles_of(review: Review) -> dict[str, Profile]:
    """A chart per structure whose band has a width; all with the same scale, so that they can be compared."""
    most = scale_mm(review)
    charts = {each.name: _profile(each, review, most) for each in review.structures}
    return {name: chart for name, chart in charts.items() if chart is not None}


def scale_mm(review: Review) -> float:
    """The width at the upper edge of all charts: the widest slice, rounded up."""
    widest = max((width for each in review.structures for _, width in _widths(each, review)), default=0.0)
    return max(STEP_MM, STEP_MM * math.ceil(widest / STEP_MM))


def _profile(structure: ReviewStructure, review: Review, most_mm: float) -> Profile | None:
    widths = sorted(_widths(structure, review))
    if len(widths) < 2:
        return None
    low, high = widths[0][0], widths[-1][0]

    def x(z_mm: float) -> float:
        return WIDTH * (z_mm - low) / (high - low)

    def y(width_mm: float) -> float:
        return HEIGHT * (1 - width_mm / most_mm)

    line = " ".join(f"{x(z):.2f},{y(width):.2f}" for z, width in widths)
    return Profile(
        area=f"M0,{HEIGHT} L{line} L{WIDTH},{HEIGHT} Z",
        dividers=tuple(round(x(third.from_z_mm), 2) for third in structure.thirds[1:]),
        scale=tuple(y(STEP_MM * n) for n in range(1, round(most_mm / STEP_MM))),
    )


def _widths(structure: ReviewStructure, review: Review) -> Iterable[tuple[float, float]]:
    """Height and width in mm of each slice that has a band."""
    places = review.grid.slice_positions_mm
    return (
        (place[2], width)
        for place, width in zip(places, structure.band_by_slice_mm, strict=True)
        if width is not None
    )
