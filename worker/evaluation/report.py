"""`report.html`: one file with everything, to be read offline."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from models.bundle import Manifest
from models.structures import STRUCTURES
from worker.evaluation import figures
from worker.evaluation.ctv_tables import guideline_table, observer_table
from worker.evaluation.flags import (
    LOW_PREDICTED_DSC,
    LOW_QUALITY,
    POOR_DSC,
    WIDE_BAND_MM,
    flag_table,
    flagged,
    unflagged_poor_organs,
)
from worker.evaluation.scores import CaseScore
from worker.evaluation.tables import by_bounds, coverage_table, in_force, quality_table, summarise

REPORT = "report.html"
WORST = 12


@dataclass(frozen=True, kw_only=True)
class Making:
    """How an evaluation came about: what the report says about itself."""

    bundle: Manifest
    sha256: str
    passes: int
    command: str
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One figure to begin with; `mood` is "", "good" or "bad"."""

    value: str
    what: str
    mood: str = ""


def write_report(cases: Sequence[CaseScore], making: Making, out: Path) -> Path:
    """Write the report beside the results; returns its path."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = environment.get_template("report.html.j2").render(_content(cases, making))
    path = out / REPORT
    path.write_text(text)
    return path


def _content(cases: Sequence[CaseScore], making: Making) -> dict[str, Any]:
    return {
        "bundle": making.bundle,
        "sha256": making.sha256,
        "passes": making.passes,
        "command": making.command,
        "note": making.note,
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "modes": list(by_bounds(cases)),
        "cases": in_force(cases),
        "tiles": _tiles(cases),
        "figures": {
            "violins": _inline(figures.dsc_violins(cases)),
            "thirds": _inline(figures.band_by_thirds(cases)) if by_bounds(cases) else "",
            "scatter": _inline(figures.quality_scatter(cases)),
            "risk": _inline(figures.risk_and_coverage(cases)),
        },
        "structures": summarise(cases),
        "coverage": coverage_table(cases),
        "observers": observer_table(cases),
        "quality": quality_table(cases),
        "guideline": guideline_table(cases),
        "worst": sorted(flagged(cases), key=lambda each: each.score.dsc)[:WORST],
        "flags": flag_table(cases),
        "poor": POOR_DSC,
        "colours": {row.name: figures.colour_of(row.name) for row in STRUCTURES},
        "limits": {
            "predicted_dsc": LOW_PREDICTED_DSC,
            "quality": LOW_QUALITY,
            "band_mm": f"{WIDE_BAND_MM:g}",
        },
    }


def _tiles(cases: Sequence[CaseScore]) -> list[Tile]:
    own, rows = in_force(cases), {row["structure"]: row for row in summarise(cases)}
    refused = sum(case.state != "done" for case in own)
    silent = unflagged_poor_organs(cases)
    tiles = [Tile(value=str(len(own)), what=f"cases, {refused} of them refused" if refused else "cases")]
    if "CTV" in rows:
        tiles.append(Tile(value=f"{rows['CTV']['dsc_mean']:.3f}", what="mean DSC of the CTV"))
    organs = [row for name, row in rows.items() if name != "CTV"]
    if organs:
        least = min(organs, key=lambda row: row["dsc_mean"])
        tiles.append(
            Tile(value=f"{least['dsc_mean']:.3f}", what=f"lowest mean DSC of an organ: {least['structure']}")
        )
    for bounds in by_bounds(cases):
        shares = [row["outside"] for row in coverage_table(cases) if row["bounds"] == bounds]
        what = f"of true surfaces outside the {bounds} band, mean over structures"
        tiles.append(Tile(value=f"{100 * sum(shares) / len(shares):.1f} %", what=what))
    tiles.append(
        Tile(
            value=str(len(silent)),
            what=f"organs below {POOR_DSC} of which nothing warned",
            mood="bad" if silent else "good",
        )
    )
    return tiles


def _inline(svg: str) -> str:
    """A picture as a data URI: one file, no names that could clash between pictures."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
