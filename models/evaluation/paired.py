"""Paired comparison of two methods on the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

EQUAL = 1e-9  # differences this near to each other differ by rounding only


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One method against a baseline, on the same cases.

    Attributes:
        method: its name.
        baseline: of what it is compared with.
        cases: number of pairs.
        difference: mean of method - baseline.
        low: lower end of the 95 % confidence interval of that mean.
        high: its upper end.
        p: of the paired two-sided t-test; not adjusted for the number of comparisons.
        d_z: Cohen's effect size of paired samples, the mean difference over its standard deviation.
    """

    method: str
    baseline: str
    cases: int
    difference: float
    low: float
    high: float
    p: float
    d_z: float


def compare(scores: Sequence[float], baseline: Sequence[float], *, names: tuple[str, str]) -> Comparison:
    """Compare scores of the order of 1 case by case, in the same order; raises `ValueError` below two pairs.

    Where all differences are equal there is no spread to test against: the interval, p and d_z are NaN.
    """
    if len(scores) != len(baseline):
        raise ValueError("a paired test needs scores of the same cases")
    differences = np.asarray(scores, dtype=float) - np.asarray(baseline, dtype=float)
    if len(differences) < 2:
        raise ValueError("a paired test needs at least two cases")
    spread = float(differences.std(ddof=1))
    mean = float(differences.mean())
    nan = float("nan")
    p, low, high, d_z = nan, nan, nan, nan
    if spread > EQUAL:
        test = stats.ttest_rel(scores, baseline)
        interval = test.confidence_interval(0.95)
        p, low, high, d_z = float(test.pvalue), float(interval.low), float(interval.high), mean / spread
    return Comparison(
        method=names[0],
        baseline=names[1],
        cases=len(differences),
        difference=mean,
        low=low,
        high=high,
        p=p,
        d_z=d_z,
    )
