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
    value = _smallest(cases, alpha)
    if not math.isfinite(value):
        raise CalibrationError(
            "In too many cases more of the reference surface than allowed lies outside the volume of interest, "
            "where no band can reach."
        )
    return Kappa(value=value, risk=risk(cases, value), held_out_risk=_held_out(cases, alpha, least))


def curve(cases: Sequence[FloatArray], kappa: float) -> list[tuple[float, float]]:
    """Pairs of (κ, risk) from 0 to twice the chosen κ, for the record and a picture."""
    points = np.linspace(0, 2 * max(kappa, SLACK), CURVE_POINTS)
    return [(float(point), risk(cases, float(point))) for point in points]


def _smallest(cases: Sequence[FloatArray], alpha: float) -> float:
    """ΣL falls only at the ratios themselves: the smallest of them (or 0) at which ΣL <= α(n + 1) - 1."""
    values = np.concatenate([np.abs(ratios) for ratios in cases]).astype(np.float64)
    weights = np.concatenate([np.full(len(ratios), 1 / len(ratios)) for ratios in cases])
    order = np.argsort(values, kind="stable")
    values = np.concatenate([[0.0], values[order]])
    beyond = len(cases) - np.concatenate([[0.0], np.cumsum(weights[order])])  # ΣL just after each value
    last = np.append(
        values[1:] > values[:-1], True
    )  # of equal values only the last one has all of them within
    allowed = alpha * (len(cases) + 1) - LARGEST_LOSS
    return float(values[last & (beyond <= allowed + SLACK)][0])


def _held_out(cases: Sequence[FloatArray], alpha: float, least: int) -> float:
    if len(cases) <= least:
        return float("nan")
    others = ([*cases[:i], *cases[i + 1 :]] for i in range(len(cases)))
    chosen = [_smallest(rest, alpha) for rest in others]
    return float(np.mean([loss(ratios, kappa) for ratios, kappa in zip(cases, chosen, strict=True)]))
