"""The pictures of an evaluation, as SVG: agreement per structure, the band by thirds, quality against the truth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from models.evaluation.quality_scores import risk_coverage
from models.structures import ORGANS, STRUCTURES, structure
from worker.evaluation.scores import CaseScore, Score
from worker.evaluation.tables import THIRDS, by_bounds, coverage_table, in_force, rows_of

INK, PALE, GRID = "#22303c", "#8796a3", "#e3e9ee"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Segoe UI", "Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "penumbra",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
}
LEAST_FOR_VIOLIN = 5


def dsc_violins(cases: Sequence[CaseScore]) -> str:
    """DSC per structure: each case a dot, the spread as a violin, the mean as a bar."""
    own = in_force(cases)
    names = [row.name for row in STRUCTURES if rows_of(own, row.name)]
    with mpl.rc_context(STYLE):
        figure, ax = _figure(9.2, 3.9)
        for place, name in enumerate(names):
            _violin(ax, place, [score.dsc for score in rows_of(own, name)], colour_of(name))
        ax.set_xticks(range(len(names)), names)
        ax.set_ylabel("DSC with the truth")
        low = min((score.dsc for case in own for score in case.scores), default=0.0)
        ax.set_ylim(max(-0.02, low - 0.06), 1.01)
        ax.grid(axis="x", visible=False)
        return _svg(figure)


def band_by_thirds(cases: Sequence[CaseScore]) -> str:
    """Per mode of the bounds: the true surface outside the band, and the band's width, by thirds of the height."""
    rows = coverage_table(cases)
    modes = list(by_bounds(cases))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 2.75 * len(modes)), layout="constrained")
        axes = figure.subplots(len(modes), 2, squeeze=False)
        for (left, right), bounds in zip(axes, modes, strict=True):
            own = [row for row in rows if row["bounds"] == bounds]
            _bars(left, own, "outside_{}", f"surface outside, {bounds} bounds")
            left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            left.axhline(0.05, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
            _bars(right, own, "band_{}_mm", f"width in mm, {bounds} bounds")
        axes[0, 1].legend(frameon=False, fontsize=9, ncols=3, loc="upper right")
        return _svg(figure)


def quality_scatter(cases: Sequence[CaseScore]) -> str:
    """Quality of each organ's contour against its true DSC; the CTV beside it, for which it was never validated."""
    own = in_force(cases)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        for row in ORGANS:
            _dots(left, rows_of(own, row.name), row.name)
        _dots(right, rows_of(own, "CTV"), "CTV")
        for ax in (left, right):
            ax.set_xlabel("quality")
            ax.set_ylabel("DSC with the truth")
            ax.legend(frameon=False, fontsize=9, loc="lower right")
        left.set_title("organs", loc="left", fontsize=10)
        right.set_title("CTV", loc="left", fontsize=10)
        return _svg(figure)


def risk_and_coverage(cases: Sequence[CaseScore]) -> str:
    """Mean error of the contours accepted, when the least certain are left out, per structure."""
    own = in_force(cases)
    with mpl.rc_context(STYLE):
        figure, ax = _figure(9.2, 3.6)
        for row in STRUCTURES:
            scores = rows_of(own, row.name)
            if scores:
                coverage, risk = risk_coverage([s.quality for s in scores], [s.dsc for s in scores])
                ax.plot(coverage, risk, color=colour_of(row.name), linewidth=1.8, label=row.name)
        ax.set_xlabel("share of contours accepted, by quality")
        ax.set_ylabel("mean of 1 − DSC of those")
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_xlim(0, 1)
        ax.set_ylim(bottom=0)
        ax.legend(frameon=False, fontsize=9, ncols=3)
        return _svg(figure)


def colour_of(name: str) -> str:
    """A structure's colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*structure(name).colour)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _violin(ax: Axes, place: int, values: Sequence[float], colour: str) -> None:
    if len(values) >= LEAST_FOR_VIOLIN and np.ptp(values) > 0:
        drawn = ax.violinplot([values], positions=[place], widths=0.8, showextrema=False)
        for body in drawn["bodies"]:  # type: ignore[attr-defined]
            body.set(facecolor=colour, alpha=0.25, edgecolor=colour, linewidth=0.8)
    shift = np.random.default_rng(place).uniform(
        -0.11, 0.11, len(values)
    )  # only so that dots do not hide dots
    ax.scatter(place + shift, values, s=13, color=colour, alpha=0.85, linewidths=0, zorder=3)
    ax.hlines(float(np.mean(values)), place - 0.26, place + 0.26, color=INK, linewidth=1.8, zorder=4)


def _bars(ax: Axes, rows: Sequence[dict[str, object]], field: str, title: str) -> None:
    """Three bars per structure, inferior to superior, ever darker."""
    for number, third in enumerate(THIRDS):
        heights = [row[field.format(third)] or 0.0 for row in rows]
        places = np.arange(len(rows)) + (number - 1) * 0.26
        shade = ("#bcd4e6", "#6fa3c7", "#2f6690")[number]
        ax.bar(places, heights, width=0.24, color=shade, label=third)  # type: ignore[arg-type]
    ax.set_xticks(range(len(rows)), [_short(str(row["structure"])) for row in rows], fontsize=9)
    ax.set_title(title, loc="left", fontsize=10)
    ax.grid(axis="x", visible=False)


def _dots(ax: Axes, scores: Sequence[Score], name: str) -> None:
    found = [score for score in scores if score.found]
    quality, dsc = [score.quality for score in found], [score.dsc for score in found]
    ax.scatter(quality, dsc, s=20, color=colour_of(name), alpha=0.85, linewidths=0, label=name)


def _short(name: str) -> str:
    """A structure's name for a narrow axis."""
    return {"Femur_Head_L": "Fem. L", "Femur_Head_R": "Fem. R", "PenileBulb": "Bulb"}.get(name, name)


def _svg(figure: Figure) -> str:
    FigureCanvasSVG(figure)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
