"""The figures of an evaluation as a bundle's manifest holds them, each with the command that measured it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from models.bundle import Metric
from models.evaluation.quality_scores import explained_variance, rank_correlation
from models.structures import STRUCTURES, structure
from models.training.bundling import QUALITY_METRIC
from worker.evaluation.scores import CaseScore, Score
from worker.evaluation.tables import by_bounds, in_force, rows_of

MEANS = {
    "ASD mm": "asd_mm",
    "HD95 mm": "hd95_mm",
    "surface DSC 2 mm": "surface_dsc_2mm",
    "surface DSC 3 mm": "surface_dsc_3mm",
    "added path length mm": "apl_mm",
}


def manifest_metrics(cases: Sequence[CaseScore], command: str) -> list[Metric]:
    """What a bundle's manifest says about itself, per structure; at the end R² of quality pooled over the organs."""
    metrics = [metric for row in STRUCTURES for metric in _of_structure(cases, row.name, command)]
    organs = [s for case in in_force(cases) for s in case.scores if structure(s.structure).kind == "organ"]
    explained = explained_variance([s.quality for s in organs], [s.dsc for s in organs])
    return [
        *metrics,
        *_metric(QUALITY_METRIC, "organs", explained, count=len({s.case for s in organs}), command=command),
    ]


def _of_structure(cases: Sequence[CaseScore], name: str, command: str) -> Iterator[Metric]:
    own = rows_of(in_force(cases), name)
    if not own:
        return
    dsc = [s.dsc for s in own]
    yield from _metric("DSC", name, float(np.mean(dsc)), count=len(own), command=command, minimum=min(dsc))
    for title, field in MEANS.items():
        values = _values(own, field)
        yield from _metric(title, name, _mean(values), count=len(values), command=command)
    for bounds, scores in by_bounds(cases).items():
        banded = [s for s in scores if s.structure == name]
        for title, field in ((f"surface outside {bounds} band", "outside"), (f"{bounds} band mm", "band_mm")):
            values = _values(banded, field)
            yield from _metric(title, name, _mean(values), count=len(values), command=command)
    rank = rank_correlation([s.quality for s in own], dsc)
    yield from _metric("quality rank", name, rank, count=len(own), command=command)


def _metric(
    name: str, where: str, mean: float, *, count: int, command: str, minimum: float | None = None
) -> Iterator[Metric]:
    """One figure, or none where it cannot be said."""
    if math.isfinite(mean):
        least = None if minimum is None else round(minimum, 4)
        yield Metric(
            name=name, structure=where, mean=round(mean, 4), minimum=least, cases=count, command=command
        )


def _values(scores: Sequence[Score], field: str) -> list[float]:
    return [value for score in scores if (value := getattr(score, field)) is not None]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
