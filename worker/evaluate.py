"""A bundle against the truth: cases with CT and true contours, segmented as any series is, compared per structure.

What is compared are the written RTSTRUCTs, rasterised on the CT by the reader that shares nothing with the writer.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from scipy.stats import spearmanr

from models.bundle import Metric
from models.evaluation.metrics import average_surface_distance_mm, dice
from models.structures import STRUCTURES, structure
from models.training.bundling import QUALITY_METRIC
from worker.job_folder import JobRequest
from worker.ledger import ProgressReport
from worker.phantom_case import truth_name
from worker.round_trip import rasterise
from worker.run_job import run
from worker.series import read_series

OnCase = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One structure of one case."""

    case: str
    structure: str
    dsc: float
    asd_mm: float
    lower_in_mean: bool
    mean_in_upper: bool
    truth_in_upper: float  # share of the true volume inside the upper bound
    volume_cc: float
    truth_cc: float
    quality: float
    band_mm: float | None


def evaluate(cases_dir: Path, out: Path, request: JobRequest, *, on_case: OnCase) -> list[Score]:
    """Segment and score every `case-*` folder (`ct/`, `truth.dcm`); leaves results, `scores.csv`, `summary.json`.

    Cases whose `result.json` is there already are not segmented again, so a stopped evaluation goes on.
    """
    cases = sorted(path.parent for path in cases_dir.glob("*/truth.dcm"))
    scores: list[Score] = []
    for number, case in enumerate(cases, start=1):
        folder = out / case.name
        if not (folder / "result.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            run(request, case / "ct", folder, progress=_silent)
        scores += score_case(case, folder)
        on_case(number, len(cases))
    _write(scores, out)
    return scores


def score_case(case: Path, result: Path) -> Iterator[Score]:
    """Compare the result of one case with its truth; a structure that is missing scores 0."""
    document = json.loads((result / "result.json").read_text())
    found = {s["name"]: s for s in document["structures"]}
    series = read_series(case / "ct")
    truth = rasterise(dcmread(case / "truth.dcm"), series)
    written = rasterise(dcmread(result / "rtstruct.dcm"), series) if found else {}
    empty = np.zeros(series.hu.shape, bool)
    voxel_cc = series.grid.voxel_mm3 / 1000
    spacing = series.grid.spacing_mm[::-1]
    for row in STRUCTURES:
        s = found.get(row.name)
        names = s["roi_names"] if s else {}
        lower, mean, upper = (written.get(names.get(kind, ""), empty) for kind in ("lower", "mean", "upper"))
        true = truth[truth_name(row.name)]
        yield Score(
            case=case.name,
            structure=row.name,
            dsc=dice(mean, true),
            asd_mm=average_surface_distance_mm(mean, true, spacing),
            lower_in_mean=not (lower & ~mean).any(),
            mean_in_upper=not (mean & ~upper).any(),
            truth_in_upper=float((true & upper).sum() / true.sum()),
            volume_cc=float(mean.sum() * voxel_cc),
            truth_cc=float(true.sum() * voxel_cc),
            quality=s["quality"] if s else 0.0,
            band_mm=s["band_mm"]["mean"] if s else None,
        )


def summarise(scores: list[Score]) -> list[dict[str, object]]:
    """Per structure: mean and least DSC, mean ASD, number of cases."""
    rows: list[dict[str, object]] = []
    for row in STRUCTURES:
        own = [s for s in scores if s.structure == row.name]
        if own:
            rows.append(
                {
                    "structure": row.name,
                    "cases": len(own),
                    "dsc_mean": round(float(np.mean([s.dsc for s in own])), 4),
                    "dsc_min": round(min(s.dsc for s in own), 4),
                    "asd_mm_mean": round(float(np.mean([s.asd_mm for s in own])), 3),
                    "nested": all(s.lower_in_mean and s.mean_in_upper for s in own),
                }
            )
    return rows


def quality_r2(scores: list[Score]) -> float:
    """R² of quality against the true DSC, pooled over the organs as in the paper.

    Pooling shows mostly that organs differ; `quality_rank` is the stricter figure.
    """
    organs = [s for s in scores if structure(s.structure).kind == "organ"]
    return float(np.corrcoef([s.quality for s in organs], [s.dsc for s in organs])[0, 1] ** 2)


def quality_rank(scores: list[Score], name: str) -> float:
    """Spearman's rank correlation of quality with the true DSC within one structure."""
    own = [s for s in scores if s.structure == name]
    return float(spearmanr([s.quality for s in own], [s.dsc for s in own]).statistic)


def manifest_metrics(scores: list[Score], command: str) -> list[Metric]:
    """What a bundle's manifest says about itself: DSC and rank of quality per structure, pooled R² of quality."""
    metrics: list[Metric] = []
    for row in summarise(scores):
        name, cases = str(row["structure"]), len([s for s in scores if s.structure == row["structure"]])
        dsc = [s.dsc for s in scores if s.structure == name]
        metrics += [
            Metric(
                name="DSC",
                structure=name,
                mean=_round(np.mean(dsc)),
                minimum=_round(min(dsc)),
                cases=cases,
                command=command,
            ),
            Metric(
                name="quality rank",
                structure=name,
                mean=_round(quality_rank(scores, name)),
                cases=cases,
                command=command,
            ),
        ]
    cases = len({s.case for s in scores})
    return [
        *metrics,
        Metric(
            name=QUALITY_METRIC,
            structure="organs",
            mean=_round(quality_r2(scores)),
            cases=cases,
            command=command,
        ),
    ]


def _round(value: float | np.floating) -> float:
    return round(float(value), 4)


def _write(scores: list[Score], out: Path) -> None:
    with (out / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Score.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(score) for score in scores)
    (out / "summary.json").write_text(json.dumps(summarise(scores), indent=2) + "\n")


def _silent(_report: ProgressReport) -> None:
    """Cases are counted, passes are not shown."""
