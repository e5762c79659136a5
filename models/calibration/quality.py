"""From quality to a predicted DSC with a 90 % interval, for one organ.

The prediction is an isotonic regression (a better quality never predicts a worse contour), the interval the jackknife+
of Barber et al. 2021: residuals and predictions with each case left out in turn. It aims at 90 % and guarantees 80 %,
for a case like those it was made from. There is none for the CTV: its quality does not follow its DSC (paper,
Results), because what it lacks is the physician's intent and not the network's certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from models.calibration.conformal import CalibrationError

FloatArray = NDArray[np.float64]

COVERAGE = 0.9
KNOTS = 12


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A predicted DSC and its interval, 0 <= low <= value <= high <= 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class QualityMap:
    """Knots of three rising curves over quality; straight lines between them."""

    quality: tuple[float, ...]
    dsc: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def predict(self, quality: float) -> Prediction:
        """Predicted DSC. Below the worst quality that calibration saw nothing is known, so the interval starts at 0."""
        value, low, high = (
            float(np.interp(quality, self.quality, c)) for c in (self.dsc, self.low, self.high)
        )
        return Prediction(value=value, low=0.0 if quality < self.quality[0] else low, high=high)


def least_cases(coverage: float = COVERAGE) -> int:
    """How few cases give an interval at all: 9 for 90 %."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def fit_quality(quality: ArrayLike, dsc: ArrayLike, *, coverage: float = COVERAGE) -> QualityMap:
    """Fit the map of one organ.

    Args:
        quality: per case, 0 to 1.
        dsc: per case the true DSC of the mean contour.
        coverage: what the interval aims at.

    Raises:
        CalibrationError: too few cases for such an interval.
    """
    x, y = np.asarray(quality, dtype=np.float64), np.asarray(dsc, dtype=np.float64)
    least = least_cases(coverage)
    if len(x) < least:
        raise CalibrationError(f"{len(x)} cases give no {100 * coverage:g} % interval: {least} are needed.")
    knots = np.unique(np.quantile(x, np.linspace(0, 1, KNOTS)))
    value = np.interp(knots, *_isotonic(x, y))
    low, high = _jackknife_plus(x, y, knots, coverage)
    low = np.clip(np.minimum(np.maximum.accumulate(low), value), 0, 1)
    high = np.clip(np.maximum(np.maximum.accumulate(high), value), 0, 1)
    return QualityMap(quality=_rounded(knots), dsc=_rounded(value), low=_rounded(low), high=_rounded(high))


def _isotonic(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Places and values of the rising curve that fits best; cases of equal quality count as their mean."""
    places, group, count = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=y) / count
    return places, np.asarray(isotonic_regression(means, weights=count).x)


def _jackknife_plus(
    x: FloatArray, y: FloatArray, at: FloatArray, coverage: float
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper end of the interval at places `at`."""
    lows, highs = [], []
    for left_out in range(len(x)):
        rest = np.arange(len(x)) != left_out
        curve = _isotonic(x[rest], y[rest])
        residual = abs(y[left_out] - float(np.interp(x[left_out], *curve)))
        there = np.interp(at, *curve)
        lows.append(there - residual)
        highs.append(there + residual)
    rank = min(len(x), math.ceil(coverage * (len(x) + 1) - 1e-9))
    return np.sort(lows, axis=0)[len(x) - rank], np.sort(highs, axis=0)[rank - 1]


def _rounded(values: FloatArray | Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
