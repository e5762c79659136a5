"""One page for people: the picture, volumes, quality, band, findings and the mark, as a PDF.

The page names the series by its UID and nobody by name; the DICOM object around it says whose it is.
"""

import io
import math
import textwrap
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.image import imread

from models.structures import structure
from worker.draft_mark import bounds_text, made_by, mark
from worker.figures import Figures
from worker.result import Result

A4_INCHES: Final = (8.27, 11.69)
_COLUMNS: Final = ("structure", "volume cc", "lower to upper cc", "quality", "band mm (95 %)", "bounds")
_FINDINGS_SHOWN: Final = 14


def report_page(result: Result, figures: Sequence[Figures], preview: Path, *, created: datetime) -> bytes:
    """The report as a PDF of one A4 page.

    Args:
        result: what segmentation found.
        figures: its numbers.
        preview: the picture drawn of it, PNG.
        created: date and time written on it and into it.
    """
    page = io.BytesIO()
    metadata = {"Title": "Penumbra AI draft", "Creator": "Penumbra", "CreationDate": created}
    draw_page(result, figures, preview, created=created).savefig(page, format="pdf", metadata=metadata)
    return page.getvalue()


def draw_page(result: Result, figures: Sequence[Figures], preview: Path, *, created: datetime) -> Figure:
    """The same page as a matplotlib figure."""
    figure = Figure(figsize=A4_INCHES)
    FigureCanvasPdf(figure)
    _head(figure, result, created)
    axes = figure.add_axes((0.06, 0.655, 0.88, 0.19))
    axes.imshow(imread(preview), aspect="equal")
    axes.axis("off")
    _table(figure.add_axes((0.06, 0.44, 0.88, 0.2)), figures)
    _findings(figure, result)
    return figure


def _head(figure: Figure, result: Result, created: datetime) -> None:
    figure.text(0.06, 0.955, "Contours of a CT: AI draft, to be reviewed", fontsize=15, weight="bold")
    for text in mark(result):
        figure.text(0.06, 0.93, text, fontsize=13, weight="bold", color="#c62828")
    lines = [
        f"CT series {result.series.series_instance_uid}, {result.series.grid.size_xyz[2]} slices",
        f"{', '.join(made_by(result))}, {result.passes} passes, seed {result.seed}, {result.device}",
        f"written {created:%Y-%m-%d %H:%M}",
    ]
    figure.text(0.06, 0.912, "\n".join(lines), fontsize=8, va="top", color="#37474f")


def _table(axes: Axes, figures: Sequence[Figures]) -> None:
    axes.axis("off")
    rows = [_row(each) for each in figures]
    table = axes.table(cellText=rows, colLabels=list(_COLUMNS), loc="upper center", cellLoc="center")
    table.auto_set_font_size(False)  # noqa: FBT003 - the library's signature
    table.set_fontsize(7.5)
    table.scale(1, 1.35)
    for number, each in enumerate(figures, start=1):
        table[number, 0].get_text().set_color(structure(each.structure.name).rgb)
        table[number, 0].get_text().set_fontweight("bold")


def _row(figures: Figures) -> list[str]:
    s, band = figures.structure, figures.band
    width = "no lower bound" if math.isnan(band.mean_mm) else f"{band.mean_mm:.1f} ({band.p95_mm:.1f})"
    return [
        s.name,
        f"{figures.volume_cc:.1f}",
        f"{figures.lower_cc:.1f} to {figures.upper_cc:.1f}",
        f"{s.quality:.2f}" if s.quality_validated else "not validated",
        width,
        bounds_text(s).removeprefix("bounds "),
    ]


def _findings(figure: Figure, result: Result) -> None:
    told = [line for f in result.findings for line in textwrap.wrap(f"{f.code}: {f.message}", 118)]
    if len(told) > _FINDINGS_SHOWN:
        told = [*told[: _FINDINGS_SHOWN - 1], "and more: see result.json"]
    figure.text(0.06, 0.415, "Findings", fontsize=11, weight="bold")
    figure.text(0.06, 0.4, "\n".join(told) or "none", fontsize=8, va="top")
