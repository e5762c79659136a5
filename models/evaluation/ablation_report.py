"""An ablation on paper: JSON with everything, CSV of the cases, violins."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from models.evaluation.ablation import VARIANTS, Plan, Scores, comparisons
from models.evaluation.ablation_scores import summarise
from models.evaluation.run_folder import finite


def write_ablation(plan: Plan, scores: Scores, out: Path, *, command: str) -> dict[str, Any]:
    """Write `ablation.json`, `ablation.csv` and `ablation.png`; returns what the JSON holds (NaN is null)."""
    facts: dict[str, object] = {
        "command": command,
        "training_cases": len(plan.cohort.training),
        "validation_cases": len(plan.cohort.validation),
        "held_out_cases": len(plan.held_out),
        "steps": plan.ctv.steps,
        "width": plan.ctv.width,
        "voi_size_zyx": plan.ctv.voi_size_zyx,
        "spacing_zyx_mm": plan.ctv.spacing_zyx_mm,
        "seed": plan.seed,
        "passes": plan.passes,
        "test": "paired two-sided t-test of the DSC, not adjusted for the number of comparisons",
        "variants": [asdict(v) | asdict(summarise(v.name, scores[v.name])) for v in VARIANTS],
        "comparisons": [asdict(each) for each in comparisons(scores)],
        "cases": {name: [asdict(score) for score in each] for name, each in scores.items()},
    }
    report = {name: finite(value) for name, value in facts.items()}
    (out / "ablation.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    _write_csv(scores, out / "ablation.csv")
    _draw_violins(scores, out / "ablation.png")
    return report


def _write_csv(scores: Scores, out: Path) -> None:
    """One row per variant and case."""
    rows = [{"variant": name, **asdict(score)} for name, each in scores.items() for score in each]
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _draw_violins(scores: Scores, out: Path) -> None:
    """The DSC of every case, its spread and its mean, per variant."""
    figure = Figure(figsize=(1.6 * len(scores) + 1, 4), layout="constrained")
    axes = figure.add_subplot()
    places = range(1, len(scores) + 1)
    dsc = [[score.dsc for score in each] for each in scores.values()]
    axes.violinplot(dsc, places, showmeans=True, showextrema=False)
    for place, values in zip(places, dsc, strict=True):
        axes.plot([place] * len(values), values, ".", color="#444444", markersize=3)
    axes.set_xticks(list(places), list(scores))
    axes.set_ylabel("DSC of the CTV, held-out cases")
    figure.savefig(out, dpi=130)
