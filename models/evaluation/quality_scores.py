"""Does quality tell the true DSC? Correlation, rank, error of the predicted DSC, and risk against coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, spearmanr

FloatArray = NDArray[np.float64]
LEAST_CASES = 3  # below that a correlation says nothing
SEED, RESAMPLES = 0, 9999


def explained_variance(quality: ArrayLike, dsc: ArrayLike) -> float:
    """R² of the straight line through (quality, DSC): Pearson's correlation squared. NaN where either is constant."""
    x, y = np.asarray(quality, dtype=np.float64), np.asarray(dsc, dtype=np.float64)
    if len(x) < LEAST_CASES or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def rank_correlation(quality: ArrayLike, dsc: ArrayLike) -> float:
    """Spearman's rank correlation; NaN where either is constant or there are fewer than three."""
    x, y = np.asarray(quality, dtype=np.float64), np.asarray(dsc, dtype=np.float64)
    if len(x) < LEAST_CASES or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def mean_absolute_error(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean of |predicted - true|; NaN without values."""
    errors = np.abs(np.asarray(predicted, dtype=np.float64) - np.asarray(true, dtype=np.float64))
    return float(errors.mean()) if errors.size else float("nan")


def risk_coverage(confidence: ArrayLike, dsc: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Risk when only the most confident share is accepted (El-Yaniv & Wiener 2010; Zenk et al. 2025).

    Returns:
        coverage: 1/n, 2/n, …, 1.
        risk: at each, the mean of 1 - DSC over the contours accepted, most confident first. Contours of equal
            confidence are accepted together, each of them with the mean risk of its group.
    """
    sure, risk = np.asarray(confidence, dtype=np.float64), 1 - np.asarray(dsc, dtype=np.float64)
    levels, group = np.unique(-sure, return_inverse=True)
    typical = np.bincount(group, weights=risk, minlength=len(levels)) / np.bincount(group)
    ordered = np.sort(group)
    count = np.arange(1, len(sure) + 1)
    return count / len(sure), np.cumsum(typical[ordered]) / count


def area_under_risk_coverage(confidence: ArrayLike, dsc: ArrayLike) -> float:
    """AURC: mean of the risk over all coverages; smaller is better, and the best possible is `dsc` ranked by itself."""
    return float(risk_coverage(confidence, dsc)[1].mean())


def mean_with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval over cases, by bootstrap (SciPy, BCa, 9999 resamples, fixed seed).

    With fewer than three cases, or all equal, the interval is NaN: nothing can be said.
    """
    sample = np.asarray([value for value in values if np.isfinite(value)], dtype=np.float64)
    if len(sample) == 0:
        return float("nan"), float("nan"), float("nan")
    mean = float(sample.mean())
    if len(sample) < LEAST_CASES or np.ptp(sample) < 1e-12:
        return mean, float("nan"), float("nan")
    interval = bootstrap(
        (sample,), np.mean, n_resamples=RESAMPLES, rng=np.random.default_rng(SEED), vectorized=True
    ).confidence_interval
    return mean, float(interval.low), float(interval.high)
