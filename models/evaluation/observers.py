"""A model among physicians who disagree: generalised energy distance, and how they agree among each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from models.evaluation.metrics import Mask, dice, intersection_over_union


@dataclass(frozen=True, kw_only=True)
class ObserverAgreement:
    """DSC among observers, which no model need exceed, and of a contour with them; all are means over pairs.

    Attributes:
        among: observers with each other.
        with_mean: observers with the mean observer.
        model: the contour with each observer.
        model_with_mean: the contour with the mean observer.
    """

    among: float
    with_mean: float
    model: float
    model_with_mean: float


def observer_agreement(contour: Mask, mean_observer: Mask, observers: Sequence[Mask]) -> ObserverAgreement:
    """DSC of a contour and of at least two observers, masks (z, y, x) on one grid."""
    return ObserverAgreement(
        among=float(np.mean([dice(a, b) for a, b in combinations(observers, 2)])),
        with_mean=float(np.mean([dice(each, mean_observer) for each in observers])),
        model=float(np.mean([dice(contour, each) for each in observers])),
        model_with_mean=dice(contour, mean_observer),
    )


def generalised_energy_distance(samples: Sequence[Mask], observers: Sequence[Mask]) -> float:
    """Squared generalised energy distance between a model's samples and the observers' contours.

    D² = 2 E d(S, Y) - E d(S, S') - E d(Y, Y') with d = 1 - IoU, each expectation the mean over all pairs, those of a
    mask with itself included (Kohl et al. 2018, arXiv 1806.05034, after Székely & Rizzo 2013). 0 when both say the
    same with the same frequencies; for one sample of a model it is the price of having no spread.
    """
    return 2 * _mean_distance(samples, observers) - _mean_distance(samples) - _mean_distance(observers)


def _mean_distance(masks: Sequence[Mask], others: Sequence[Mask] | None = None) -> float:
    pairs = [(a, b) for a in masks for b in others] if others is not None else [*combinations(masks, 2)]
    total = sum(1 - intersection_over_union(a, b) for a, b in pairs)
    if others is not None:
        return total / len(pairs)
    return 2 * total / len(masks) ** 2  # each pair counts in both orders, a mask with itself is at distance 0
