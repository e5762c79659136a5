"""One picture of a result: three axial slices and a sagittal one, mean contours with their bounds.

Drawn upright whatever way the patient lay: the patient's left on the right, head up, with letters that say so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from models.structures import structure
from worker.result import Result, StructureResult
from worker.upright import Upright

WINDOW_HU = (-160, 240)
MARGIN_MM = 45.0


def draw_preview(result: Result, path: Path) -> None:
    """Draw the result as a PNG: CTV at its lower end, middle and upper end, and the sagittal plane through it."""
    upright = Upright.of_grid(result.series.grid)
    scene = _Scene(
        hu=upright.of(result.series.hu),
        z_mm=_heights(result, upright),
        structures=[_turned(s, upright) for s in result.structures],
        spacing_mm=upright.spacing_mm,
    )
    box = _box(scene)
    figure = Figure(figsize=(15.5, 4.6), facecolor="#101418")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4, gridspec_kw={"width_ratios": [1, 1, 1, 1]})
    ctv = scene.structures[0]
    filled = np.flatnonzero((ctv.mean >= ctv.level).any((1, 2)))
    for ax, share in zip(axes[:3], (0.08, 0.5, 0.9), strict=True):
        _axial(ax, scene, int(filled[round(share * (len(filled) - 1))]), box)
    _sagittal(axes[3], scene, box)
    _legend(figure, result)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.88, bottom=0.12, wspace=0.03)
    figure.savefig(path, dpi=100, facecolor=figure.get_facecolor(), metadata={"Software": "Penumbra"})


Box = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """A result with upright arrays (to the head, to the back, to the left)."""

    hu: NDArray[np.int16]
    z_mm: NDArray[np.float64]
    structures: list[StructureResult]
    spacing_mm: tuple[float, float, float]


def _turned(s: StructureResult, upright: Upright) -> StructureResult:
    return replace(s, mean=upright.of(s.mean), lower=upright.of(s.lower), upper=upright.of(s.upper))


def _heights(result: Result, upright: Upright) -> NDArray[np.float64]:
    """Heights (z in LPS, mm) of the axial planes, from the feet to the head."""
    z = np.asarray(result.series.slice_positions_mm)[:, 2]
    return z[::-1] if upright.flipped[0] else z


def _box(scene: _Scene) -> Box:
    """What to show: everything that was contoured, and a margin."""
    seen = np.zeros(scene.hu.shape, bool)
    for s in scene.structures:
        seen |= s.mean >= s.level
    spans = []
    for axis, spacing in enumerate(scene.spacing_mm):
        filled = np.flatnonzero(seen.any(tuple(a for a in range(3) if a != axis)))
        margin = round(MARGIN_MM / spacing)
        spans.append(slice(max(0, int(filled[0]) - margin), int(filled[-1]) + margin + 1))
    return spans[0], spans[1], spans[2]


def _axial(ax: Axes, scene: _Scene, index: int, box: Box) -> None:
    _, rows, columns = box
    _show(ax, scene.hu[index, rows, columns], aspect=scene.spacing_mm[1] / scene.spacing_mm[2])
    for s in scene.structures:
        _outline(ax, s, (index, rows, columns))
    _letters(ax, left="R", right="L", top="A", bottom="P")
    _label(ax, f"axial   z {scene.z_mm[index]:.1f} mm")


def _sagittal(ax: Axes, scene: _Scene, box: Box) -> None:
    slices, rows, _ = box
    ctv = scene.structures[0]
    column = int(np.median(np.flatnonzero((ctv.mean >= ctv.level).any((0, 1)))))
    _show(ax, scene.hu[slices, rows, column], aspect=scene.spacing_mm[0] / scene.spacing_mm[1])
    for s in scene.structures:
        _outline(ax, s, (slices, rows, column))
    ax.invert_yaxis()  # planes rise towards the head
    _letters(ax, left="A", right="P", top="H", bottom="F")
    _label(ax, "sagittal")


def _letters(ax: Axes, **letters: str) -> None:
    """Which way the patient's sides lie (PS3.3 C.7.6.1.1.1)."""
    places = {"left": (0.02, 0.5), "right": (0.98, 0.5), "top": (0.5, 0.97), "bottom": (0.5, 0.03)}
    for side, letter in letters.items():
        ha = side if side in {"left", "right"} else "center"
        va = side if side in {"top", "bottom"} else "center"
        ax.text(
            *places[side],
            letter,
            transform=ax.transAxes,
            ha=ha,
            va=va,
            color="#ffe082",
            fontsize=9,
            weight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="#101418")],
        )


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
