"""Generalised energy distance and agreement among observers, on slabs whose overlaps are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.observers import generalised_energy_distance, observer_agreement


def slab(first, last):
    mask = np.zeros((20, 2, 2), bool)
    mask[first:last] = True
    return mask


def test_energy_distance_by_hand():
    """One sample, one observer: D² = 2 (1 - IoU)."""
    assert generalised_energy_distance([slab(0, 10)], [slab(0, 5)]) == pytest.approx(2 * 0.5)
    two = [slab(0, 10), slab(0, 5)]  # their mutual distance is 0.5, over all four ordered pairs 0.25
    assert generalised_energy_distance([slab(0, 10)], two) == pytest.approx(2 * 0.25 - 0 - 0.25)


def test_energy_distance_is_zero_for_the_same_distribution():
    observers = [slab(0, 8), slab(1, 10), slab(2, 12)]
    assert generalised_energy_distance(observers, observers) == pytest.approx(0)
    assert generalised_energy_distance(observers * 2, observers) == pytest.approx(0)


def test_a_model_that_spreads_as_the_observers_do_is_nearer_than_their_mean():
    observers = [slab(0, 8), slab(0, 10), slab(0, 12)]
    spread = [slab(0, 8), slab(0, 9), slab(0, 11), slab(0, 12)]
    sure = [slab(0, 10)] * 4
    assert generalised_energy_distance(spread, observers) < generalised_energy_distance(sure, observers)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 19), min_size=1, max_size=5), st.lists(st.integers(1, 19), min_size=1, max_size=5)
)
def test_energy_distance_is_never_negative(ours, theirs):
    samples, observers = [slab(0, n) for n in ours], [slab(0, n) for n in theirs]
    assert generalised_energy_distance(samples, observers) >= -1e-12


def test_agreement_among_observers_is_the_mean_over_pairs():
    observers = [slab(0, 10), slab(0, 10), slab(0, 5)]
    found = observer_agreement(slab(0, 5), slab(0, 10), observers)
    pair = 2 * 5 / 15
    assert found.among == pytest.approx((1 + pair + pair) / 3)
    assert found.with_mean == pytest.approx((1 + 1 + pair) / 3)
    assert found.model == pytest.approx((pair + pair + 1) / 3)
    assert found.model_with_mean == pytest.approx(pair)
