"""Conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814): how wide the band must be.

The loss of a case is the share of its reference surface outside the band. It falls as κ grows and never exceeds 1, so
the smallest κ with (ΣL + 1)/(n + 1) <= α keeps the *expected* loss of a further case at or below α, whatever the
distribution, as long as that case is exchangeable with the n. It is an average over cases: one case may lie far out,
and so may one part of all surfaces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

LARGEST_LOSS = 1.0  # B: all of the surface outside
SLACK = 1e-9  # of sums of shares
CURVE_POINTS = 25


class CalibrationError(ValueError):
    """These cases cannot calibrate a band; the text says why and what is missing."""


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """A chosen κ.

    Attributes:
        value: half-width of the band in units of max(s, s₀).
        risk: mean share of the surface outside the band over the calibration cases.
        held_out_risk: the same with each case judged by the κ of the others; NaN where they are too few.
    """

    value: float
    risk: float
    held_out_risk: float


def least_cases(alpha: float) -> int:
    """How few cases can calibrate at all: n >= (1 - α)/α, 19 for α = 0.05."""
    if not 0 < alpha < 1:
        raise CalibrationError(f"alpha must lie between 0 and 1, not {alpha:g}")
    return math.ceil((LARGEST_LOSS - alpha) / alpha - SLACK)


def loss(ratios: FloatArray, kappa: float) -> float:
    """Share of one case's reference surface outside the band.

    Args:
        ratios: |μ|/max(s, s₀) at points that each stand for the same area, (n,); infinite where nothing is known.
        kappa: half-width of the band in units of max(s, s₀).
    """
    return float(np.mean(np.abs(ratios) > kappa))


def risk(cases: Sequence[FloatArray], kappa: float) -> float:
    """Mean loss over cases; see `loss`."""
    return float(np.mean([loss(ratios, kappa) for ratios in cases]))


def choose_kappa(cases: Sequence[FloatArray], *, alpha: float = 0.05) -> Kappa:
    """The smallest κ that keeps the expected loss at or below α.

    Args:
        cases: per case |μ|/max(s, s₀) at points of its reference surface, as in `loss`; signs do not matter.
        alpha: share of the reference surface that may lie outside, on average over cases.

    Raises:
        CalibrationError: too few cases, a case without points, or no finite κ will do.
    """
    least = least_cases(alpha)
    if len(cases) < least:
        raise CalibrationError(
            f"{len(cases)} cases cannot calibrate a band: alpha = {alpha:g} needs at least {least}."
        )
    if any(len(ratios) == 0 for ratios in cases):
        raise CalibrationError("A case has no point of its reference surface.")
    ranked = _Ranked.of(cases)
    value = ranked.smallest(alpha)
    if not math.isfinite(value):
        raise CalibrationError(
            "In too many cases more of the reference surface than allowed lies outside the volume of interest, "
            "where no band can reach."
        )
    return Kappa(value=value, risk=risk(cases, value), held_out_risk=_held_out(cases, ranked, alpha))


def curve(cases: Sequence[FloatArray], kappa: float) -> list[tuple[float, float]]:
    """Pairs of (κ, risk) from 0 to twice the chosen κ, for the record and a picture."""
    points = np.linspace(0, 2 * max(kappa, SLACK), CURVE_POINTS)
    return [(float(point), risk(cases, float(point))) for point in points]


@dataclass(frozen=True)
class _Ranked:
    """The ratios of all cases in ascending order, each with its case and its share of that case's surface."""

    values: NDArray[np.float64]
    owners: NDArray[np.intp]
    shares: NDArray[np.float64]
    cases: int

    @classmethod
    def of(cls, cases: Sequence[FloatArray]) -> _Ranked:
        """Sorted once, however many cases are left out one after the other."""
        values = np.concatenate([np.abs(ratios) for ratios in cases]).astype(np.float64)
        sizes = np.array([len(ratios) for ratios in cases])
        owners = np.repeat(np.arange(len(cases)), sizes)
        order = np.argsort(values, kind="stable")
        return cls(values[order], owners[order], (1 / sizes)[owners[order]], len(cases))

    def smallest(self, alpha: float, *, without: int | None = None) -> float:
        """ΣL falls only at the ratios themselves: the smallest of them (or 0) at which ΣL <= α(n + 1) - 1.

        Args:
            alpha: as in `choose_kappa`.
            without: the case that is left out; where its ratios lie ΣL does not fall, so none of them is found.
        """
        count = self.cases - (without is not None)
        shares = self.shares if without is None else np.where(self.owners == without, 0.0, self.shares)
        values = np.concatenate([[0.0], self.values])
        beyond = count - np.concatenate([[0.0], np.cumsum(shares)])  # ΣL just after each value
        last = np.append(
            values[1:] > values[:-1], True
        )  # only the last of equal values has all of them within
        allowed = alpha * (count + 1) - LARGEST_LOSS
        return float(values[last & (beyond <= allowed + SLACK)][0])


def _held_out(cases: Sequence[FloatArray], ranked: _Ranked, alpha: float) -> float:
    if len(cases) <= least_cases(alpha):
        return float("nan")
    chosen = [ranked.smallest(alpha, without=index) for index in range(len(cases))]
    return float(np.mean([loss(ratios, kappa) for ratios, kappa in zip(cases, chosen, strict=True)]))
