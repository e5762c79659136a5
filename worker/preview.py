"""One picture of a result: three axial slices and a sagittal one, mean contours with their bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from models.structures import structure
from worker.result import Result, StructureResult

WINDOW_HU = (-160, 240)
MARGIN_MM = 45.0


def draw_preview(result: Result, path: Path) -> None:
    """Draw the result as a PNG: CTV at its lower end, middle and upper end, and the sagittal plane through it."""
    box = _box(result)
    figure = Figure(figsize=(15.5, 4.6), facecolor="#101418")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4, gridspec_kw={"width_ratios": [1, 1, 1, 1]})
    ctv = result.structures[0]
    filled = np.flatnonzero((ctv.mean >= ctv.level).any((1, 2)))
    for ax, share in zip(axes[:3], (0.08, 0.5, 0.9), strict=True):
        _axial(ax, result, int(filled[round(share * (len(filled) - 1))]), box)
    _sagittal(axes[3], result, box)
    _legend(figure, result)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.88, bottom=0.12, wspace=0.03)
    figure.savefig(path, dpi=100, facecolor=figure.get_facecolor(), metadata={"Software": "Penumbra"})


Box = tuple[slice, slice, slice]


def _box(result: Result) -> Box:
    """What to show: everything that was contoured, and a margin."""
    seen = np.zeros(result.series.hu.shape, bool)
    for s in result.structures:
        seen |= s.mean >= s.level
    spans = []
    for axis, spacing in enumerate(result.series.grid.spacing_mm[::-1]):
        filled = np.flatnonzero(seen.any(tuple(a for a in range(3) if a != axis)))
        margin = round(MARGIN_MM / spacing)
        spans.append(slice(max(0, int(filled[0]) - margin), int(filled[-1]) + margin + 1))
    return spans[0], spans[1], spans[2]


def _axial(ax: Axes, result: Result, index: int, box: Box) -> None:
    _, rows, columns = box
    _show(ax, result.series.hu[index, rows, columns], aspect=_ratio(result, 1, 0))
    for s in result.structures:
        _outline(ax, s, (index, rows, columns))
    z = result.series.slice_positions_mm[index][2]
    _label(ax, f"axial   z {z:.1f} mm")


def _sagittal(ax: Axes, result: Result, box: Box) -> None:
    slices, rows, _ = box
    ctv = result.structures[0]
    column = int(np.median(np.flatnonzero((ctv.mean >= ctv.level).any((0, 1)))))
    _show(ax, result.series.hu[slices, rows, column], aspect=_ratio(result, 2, 1))
    for s in result.structures:
        _outline(ax, s, (slices, rows, column))
    ax.invert_yaxis()  # head up: slices rise towards the head
    _label(ax, "sagittal, head up")


def _ratio(result: Result, down: int, across: int) -> float:
    spacing = result.series.grid.spacing_mm
    return spacing[down] / spacing[across]


def _show(ax: Axes, plane: NDArray[np.int16], *, aspect: float) -> None:
    ax.imshow(
        plane, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=aspect, interpolation="bilinear"
    )
    ax.axis("off")


def _outline(ax: Axes, s: StructureResult, where: tuple[int | slice, slice, int | slice]) -> None:
    """Mean solid, bounds thin and dashed, band tinted."""
    lower, mean, upper = (np.asarray(field[where]) for field in (s.lower, s.mean, s.upper))
    if upper.max(initial=0) < s.level:
        return
    colour = structure(s.name).rgb
    band = np.zeros((*upper.shape, 4))
    band[(upper >= s.level) & (lower < s.level)] = (*colour, 0.28)
    ax.imshow(band, aspect=ax.get_aspect())
    for field, width, style in ((mean, 1.6, "solid"), (lower, 0.8, "dashed"), (upper, 0.8, "dashed")):
        if field.max(initial=0) > s.level > field.min(initial=1):
            ax.contour(field, [s.level], colors=[colour], linewidths=width, linestyles=style)


def _label(ax: Axes, text: str) -> None:
    ax.set_title(text, color="#cfd8dc", fontsize=10, loc="left")


def _legend(figure: Figure, result: Result) -> None:
    lines = [
        Line2D([], [], color=structure(s.name).rgb, linewidth=2, label=s.name) for s in result.structures
    ]
    lines.append(
        Line2D([], [], color="#cfd8dc", linewidth=0.9, linestyle="dashed", label="lower and upper bound")
    )
    figure.legend(
        handles=lines, loc="lower center", ncols=len(lines), frameon=False, labelcolor="#cfd8dc", fontsize=9.5
    )
    if result.bundle.intended_use != "clinical":
        figure.text(
            0.99, 0.955, "NOT FOR CLINICAL USE", color="#ff8a65", ha="right", fontsize=11, weight="bold"
        )
