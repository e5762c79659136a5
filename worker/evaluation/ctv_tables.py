"""The CTV among its observers, and against the consensus, over cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from models.evaluation.quality_scores import mean_with_interval
from worker.evaluation.scores import CaseScore, ObserverScore
from worker.evaluation.tables import Row, in_force
from worker.guideline import CHECKS, Check

VERDICTS = ("pass", "warn", "not assessable")


def observer_table(cases: Sequence[CaseScore]) -> list[Row]:
    """What observers agree on, and where the model stands among them: one row per figure, none without observers.

    DSC of the observers with each other is the ceiling that a single observer sets; the model was not shown any of
    them alone. Energy distances are those of `models/evaluation/observers.py`.
    """
    seen = [case.observers for case in in_force(cases) if case.observers is not None]
    if not seen:
        return []
    figures: list[tuple[str, Callable[[ObserverScore], float | None]]] = [
        ("DSC, observer with observer", lambda o: o.among),
        ("DSC, observer with mean observer", lambda o: o.with_mean),
        ("DSC, model with observer", lambda o: o.model),
        ("DSC, model with mean observer", lambda o: o.model_with_mean),
        ("energy distance, sampled contours", lambda o: o.energy_distance),
        ("energy distance, mean contour alone", lambda o: o.energy_distance_of_mean),
    ]
    rows = [_row(name, [value(each) for each in seen]) for name, value in figures]
    everyone = [case.observers for case in cases if case.observers is not None]
    for bounds in sorted({each.bounds for each in everyone}):
        shares = [each.outside for each in everyone if each.bounds == bounds]
        name = f"observers' surface outside the {bounds} band"
        rows.append(_row(name, [float(np.mean(share)) for share in shares]))
        rows.append(_row(f"the same, worst observer of each case ({bounds})", [max(s) for s in shares]))
    return [row for row in rows if row["mean"] is not None]


def guideline_table(cases: Sequence[CaseScore]) -> list[Row]:
    """Per check how often it passes, warns, or cannot be made: for the model's CTV and for the true one."""
    own = in_force(cases)
    return [
        {
            "code": code,
            "title": title,
            "model": _verdicts([case.guideline for case in own], code),
            "truth": _verdicts([case.guideline_of_truth for case in own], code),
        }
        for code, title, _ in CHECKS
    ]


def _verdicts(checks: Sequence[Sequence[Check]], code: str) -> dict[str, int]:
    found = [check.verdict for each in checks for check in each if check.code == code]
    return {verdict: found.count(verdict) for verdict in VERDICTS}  # type: ignore[arg-type]


def _row(name: str, values: Sequence[float | None]) -> Row:
    mean, low, high = mean_with_interval([value for value in values if value is not None])
    rounded = {"mean": mean, "low": low, "high": high}
    return {"figure": name, **{k: round(v, 4) if math.isfinite(v) else None for k, v in rounded.items()}}
