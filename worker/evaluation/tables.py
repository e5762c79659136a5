"""Scores over cases: one row per structure, and what goes to disk."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation.quality_scores import (
    area_under_risk_coverage,
    explained_variance,
    mean_absolute_error,
    mean_with_interval,
    rank_correlation,
)
from models.structures import STRUCTURES, structure
from worker.evaluation.scores import CaseScore, Score

Row = dict[str, Any]
THIRDS = ("inferior", "middle", "superior")


def in_force(cases: Sequence[CaseScore]) -> list[CaseScore]:
    """One entry per case: the first, which is the mode of the bounds that was asked for."""
    first: dict[str, CaseScore] = {}
    for case in cases:
        first.setdefault(case.case, case)
    return list(first.values())


def by_bounds(cases: Sequence[CaseScore]) -> dict[str, list[Score]]:
    """Scores of the cases that were contoured, by mode of their bounds, calibrated first; each contour once a mode."""
    modes: dict[str, dict[tuple[str, str], Score]] = {}
    for score in (s for case in cases if case.state == "done" for s in case.scores):
        modes.setdefault(score.bounds, {}).setdefault((score.case, score.structure), score)
    return {mode: list(modes[mode].values()) for mode in sorted(modes)}


def rows_of(cases: Iterable[CaseScore], name: str) -> list[Score]:
    """All scores of one structure."""
    return [score for case in cases for score in case.scores if score.structure == name]


def summarise(cases: Sequence[CaseScore]) -> list[Row]:
    """Per structure: agreement with the truth over the cases that have it, in the mode in force."""
    rows: list[Row] = []
    for row in STRUCTURES:
        own = rows_of(in_force(cases), row.name)
        if not own:
            continue
        mean, low, high = mean_with_interval([s.dsc for s in own])
        outside = mean_with_interval([s.outside for s in own])
        rows.append(
            {
                "structure": row.name,
                "cases": len(own),
                "found": sum(s.found for s in own),
                "dsc_mean": _round(mean),
                "dsc_low": _round(low),
                "dsc_high": _round(high),
                "dsc_sd": _round(float(np.std([s.dsc for s in own], ddof=1)) if len(own) > 1 else math.nan),
                "dsc_min": _round(min(s.dsc for s in own)),
                "asd_mm_mean": _mean(own, "asd_mm"),
                "hd95_mm_mean": _mean(own, "hd95_mm"),
                "surface_dsc_2mm_mean": _mean(own, "surface_dsc_2mm"),
                "surface_dsc_3mm_mean": _mean(own, "surface_dsc_3mm"),
                "apl_mm_mean": _mean(own, "apl_mm"),
                "volume_cc_mean": _mean(own, "volume_cc"),
                "truth_cc_mean": _mean(own, "truth_cc"),
                "outside_mean": _round(outside[0]),
                "outside_low": _round(outside[1]),
                "outside_high": _round(outside[2]),
                "band_mm_mean": _mean(own, "band_mm"),
                "nested": all(s.lower_in_mean and s.mean_in_upper for s in own),
            }
        )
    return rows


def coverage_table(cases: Sequence[CaseScore]) -> list[Row]:
    """Per mode of the bounds and structure: surface outside the band and the band's width, overall and by thirds."""
    rows: list[Row] = []
    for bounds, scores in by_bounds(cases).items():
        for row in STRUCTURES:
            own = [s for s in scores if s.structure == row.name]
            if not own:
                continue
            mean, low, high = mean_with_interval([s.outside for s in own])
            rows.append(
                {
                    "bounds": bounds,
                    "structure": row.name,
                    "cases": len(own),
                    "outside": _round(mean),
                    "outside_low": _round(low),
                    "outside_high": _round(high),
                    "worst_tenth": _round(float(np.percentile([s.outside for s in own], 90))),
                    "beyond_upper": _mean(own, "beyond_upper"),
                    "within_lower": _mean(own, "within_lower"),
                    **{f"outside_{t}": _mean(own, f"outside_{t}") for t in THIRDS},
                    "band_mm": _mean(own, "band_mm"),
                    **{f"band_{t}_mm": _mean(own, f"band_{t}_mm") for t in THIRDS},
                }
            )
    return rows


def quality_table(cases: Sequence[CaseScore]) -> list[Row]:
    """Quality against the true DSC: per structure, and pooled over the organs as in the paper.

    Pooling shows mostly that organs differ (SCIENCE 2.4); the rank within one structure is the stricter figure. AURC
    is of the structure's contours by quality; beside it the best and the random order's, which are its limits.
    """
    everything = [s for case in in_force(cases) for s in case.scores]
    groups = [(row.name, [s for s in everything if s.structure == row.name]) for row in STRUCTURES]
    groups.append(("organs", [s for s in everything if structure(s.structure).kind == "organ"]))
    rows: list[Row] = []
    for name, own in groups:
        if not own:
            continue
        quality, dsc = [s.quality for s in own], [s.dsc for s in own]
        told = [s for s in own if s.predicted_dsc is not None]
        held = [(s.predicted_low or 0.0) <= s.dsc <= (s.predicted_high or 1.0) for s in told]
        error = mean_absolute_error([s.predicted_dsc or 0.0 for s in told], [s.dsc for s in told])
        rows.append(
            {
                "structure": name,
                "cases": len(own),
                "r2": _round(explained_variance(quality, dsc)),
                "spearman": _round(rank_correlation(quality, dsc)),
                "predicted": len(told),
                "mae": _round(error),
                "in_interval": _round(float(np.mean(held)) if held else math.nan),
                "aurc": _round(area_under_risk_coverage(quality, dsc)),
                "aurc_best": _round(area_under_risk_coverage(dsc, dsc)),
                "aurc_random": _round(float(np.mean([1 - value for value in dsc]))),
            }
        )
    return rows


def write_scores(cases: Sequence[CaseScore], out: Path) -> None:
    """`cases.json` with everything, `scores.csv` with a row per structure and case, `summary.json` with the tables."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "cases.json").write_text(json.dumps([asdict(case) for case in cases], indent=1) + "\n")
    with (out / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Score.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(score) for case in cases for score in case.scores)
    summary = {
        "structures": summarise(cases),
        "coverage": coverage_table(cases),
        "quality": quality_table(cases),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def _mean(scores: Iterable[Score], name: str) -> float | None:
    """Mean of a field over the scores that have a value."""
    values = [value for score in scores if (value := getattr(score, name)) is not None]
    return _round(float(np.mean(values))) if values else None


def _round(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
