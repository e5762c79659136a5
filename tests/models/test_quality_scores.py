"""Rank, risk and coverage, intervals: values known on paper, properties that hold for any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.quality_scores import (
    area_under_risk_coverage,
    explained_variance,
    mean_absolute_error,
    mean_with_interval,
    rank_correlation,
    risk_coverage,
)

DSC = [0.95, 0.9, 0.8, 0.5]


def test_a_line_explains_all_and_a_curve_keeps_the_rank():
    quality = [0.9, 0.8, 0.6, 0.0]
    assert explained_variance(quality, [0.5 + q / 2 for q in quality]) == pytest.approx(1)
    assert explained_variance([1 - q for q in quality], quality) == pytest.approx(1)
    curved = np.array(quality) ** 5
    assert rank_correlation(curved, quality) == pytest.approx(1)
    assert rank_correlation(-curved, quality) == pytest.approx(-1)
    assert explained_variance(curved, quality) < 0.9


def test_too_few_or_constant_values_say_nothing():
    for few in ([], [0.1], [0.1, 0.2]):
        assert np.isnan(rank_correlation(few, few)) and np.isnan(explained_variance(few, few))
    assert np.isnan(rank_correlation([1, 1, 1, 1], DSC)) and np.isnan(explained_variance(DSC, [1, 1, 1, 1]))
    assert np.isnan(mean_absolute_error([], []))
    assert mean_absolute_error([0.5, 0.9], [0.6, 0.6]) == pytest.approx(0.2)


def test_risk_is_the_mean_error_of_what_is_accepted():
    coverage, risk = risk_coverage([4, 3, 2, 1], DSC)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk == pytest.approx([0.05, 0.075, 0.35 / 3, 0.85 / 4])
    assert area_under_risk_coverage([4, 3, 2, 1], DSC) == pytest.approx(risk.mean())


def test_equal_confidence_is_accepted_together_whatever_the_order():
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        dsc = np.array(DSC)[order]
        assert risk_coverage([1, 1, 1, 1], dsc)[1] == pytest.approx(np.full(4, 0.85 / 4))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
def test_no_order_is_better_than_the_true_one(pairs):
    confidence, dsc = np.array(pairs).T
    best = area_under_risk_coverage(dsc, dsc)
    worst = area_under_risk_coverage(-dsc, dsc)
    assert best - 1e-9 <= area_under_risk_coverage(confidence, dsc) <= worst + 1e-9
    assert risk_coverage(confidence, dsc)[1][-1] == pytest.approx((1 - dsc).mean())


def test_the_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(40):
        mean, low, high = mean_with_interval(rng.normal(0.9, 0.03, 30).tolist())
        assert low < mean < high and high - low == pytest.approx(4 * 0.03 / 30**0.5, rel=0.45)
        held += low <= 0.9 <= high
    assert held >= 33


def test_an_interval_needs_cases():
    assert mean_with_interval([0.9]) == pytest.approx((0.9, np.nan, np.nan), nan_ok=True)
    assert mean_with_interval([0.9] * 8) == pytest.approx((0.9, np.nan, np.nan), nan_ok=True)
    assert np.isnan(mean_with_interval([])).all()
    assert mean_with_interval([0.5, np.nan, np.inf, 0.7])[0] == pytest.approx(0.6)
