"""A calibration as a picture: risk against κ, and DSC against quality with the predicted interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.structures import structure
from worker.calibrate import Calibration, of_structure

COLUMNS = 3


def draw_calibration(calibration: Calibration, out: Path) -> None:
    """Write a PNG: one panel with all risk curves, one panel per organ."""
    organs = list(calibration.record.quality)
    rows = -(-(len(organs) + 1) // COLUMNS)
    figure = Figure(figsize=(4.4 * COLUMNS, 3.6 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    _draw_risk(panels[0], calibration)
    for axes, organ in zip(panels[1:], organs, strict=False):
        _draw_quality(axes, calibration, organ)
    for axes in panels[len(organs) + 1 :]:
        axes.set_axis_off()
    figure.savefig(out, dpi=120)


def _draw_risk(axes: Axes, calibration: Calibration) -> None:
    record = calibration.record
    for name, band in record.bands.items():
        kappa, risk = np.array(band.curve).T
        colour = structure(name).rgb
        axes.plot(
            kappa, 100 * risk, color=colour, label=f"{name}: κ {band.kappa:.2f}, band {band.width_mm:.1f} mm"
        )
        axes.plot(band.kappa, 100 * band.risk, "o", color=colour, markersize=5)
    axes.axhline(100 * record.alpha, color="#777777", linestyle="--", linewidth=1)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 100)
    axes.set_xlabel("κ")
    axes.set_ylabel("true surface outside the band, %")
    axes.set_title(f"n = {record.cases}, α = {record.alpha:g}, {record.passes} passes", fontsize=10)
    axes.legend(fontsize=7, frameon=False)


def _draw_quality(axes: Axes, calibration: Calibration, organ: str) -> None:
    record, own = calibration.record.quality[organ], of_structure(calibration.cases, organ)
    colour = structure(organ).rgb
    axes.fill_between(record.quality, record.low, record.high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(record.quality, record.dsc, color=colour)
    axes.plot([one.quality for one in own], [one.dsc for one in own], ".", color="#333333", markersize=5)
    rank = "-" if record.rank_correlation is None else f"{record.rank_correlation:+.2f}"
    told = "" if record.validated else ", not shown to users"
    axes.set_title(f"{organ}: Spearman {rank}{told}", fontsize=10)
    axes.set_xlabel("quality")
    axes.set_ylabel("DSC")
