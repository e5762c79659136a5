"""Phantoms at a glance: a sheet of cases by slices in a soft-tissue window, with the true contours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.phantom.cohort import draw_patient, planning_lattice, scan
from models.phantom.effects import Effects
from models.phantom.lattice import FloatArray
from models.structures import STRUCTURES
from worker.case_pool import OnCase

WINDOW_HU = (-160, 240)
COLUMNS = 6
INCH = 2.6


def draw_contact_sheet(
    out: Path, *, seed: int, cases: int = 6, on_case: OnCase = lambda done, count: None
) -> None:
    """Draw `cases` phantoms, a row each, six slices from the penile bulb to the rectum's upper end, as a PNG."""
    figure = Figure(figsize=(COLUMNS * INCH, cases * INCH * 0.72), facecolor="black")
    grid = figure.subplots(cases, COLUMNS, squeeze=False)
    for index, row in enumerate(grid):
        patient = draw_patient(seed, index, effects=Effects.clinical())
        lattice = planning_lattice(patient, seed, index, matrix=384)
        hu, truth = scan(patient, seed, index, lattice), patient.truth(lattice)
        for axes, z in zip(row, _slices(truth), strict=True):
            _draw_slice(axes, hu[z], {name: field[z] for name, field in truth.items()})
        on_case(index + 1, cases)
    figure.subplots_adjust(0.003, 0.003, 0.997, 0.997, 0.01, 0.01)
    figure.savefig(out, dpi=110, facecolor="black")


def _slices(truth: dict[str, FloatArray]) -> list[int]:
    """Slice numbers of the six columns."""
    middle = {name: float(np.flatnonzero((f < 0).any((1, 2))).mean()) for name, f in truth.items()}
    low = np.flatnonzero((truth["CTV"] < 0).any((1, 2)))[0]
    high = np.flatnonzero((truth["Rectum"] < 0).any((1, 2)))[-1]
    upper = [middle["CTV"], middle["Femur_Head_L"] + 3, middle["Bladder"] + 4]
    return [round(z) for z in (middle["PenileBulb"], low + 3, *upper, high - 2)]


def _draw_slice(axes: Axes, hu: np.ndarray, fields: dict[str, FloatArray]) -> None:
    axes.imshow(hu, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], interpolation="bilinear")
    for row in STRUCTURES:
        if (fields[row.name] < 0).any():
            axes.contour(fields[row.name], [0], colors=[row.rgb], linewidths=0.9)
    body = np.argwhere(hu > -300)
    (y0, x0), (y1, x1) = body.min(0), body.max(0)
    middle, half = (x0 + x1) / 2, max((x1 - x0) / 2, (y1 - y0) / 1.44) + 6
    axes.set_xlim(middle - half, middle + half)
    axes.set_ylim((y0 + y1) / 2 + half * 0.72, (y0 + y1) / 2 - half * 0.72)
    axes.set_axis_off()
