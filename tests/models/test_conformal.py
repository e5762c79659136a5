import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from models.calibration.conformal import CalibrationError, choose_kappa, curve, least_cases, loss, risk

ALPHA = 0.05


def patients(rng, count, *, points=200, between=0.0):
    """Cases whose surface lies off the mean by Gaussian errors in units of s; `between` cases the size differs."""
    return [np.abs(rng.normal(size=points)) * np.exp(rng.normal(scale=between)) for _ in range(count)]


def test_kappa_is_the_quantile_of_gaussian_errors():
    cases = patients(np.random.default_rng(0), 200, points=500)
    found = choose_kappa(cases, alpha=ALPHA)
    # (ΣL + 1)/(n + 1) <= α asks for ΣL/n <= α - (1 - α)/n
    assert found.value == pytest.approx(norm.isf((ALPHA - (1 - ALPHA) / 200) / 2), abs=0.02)
    assert found.value == pytest.approx(norm.isf(ALPHA / 2), abs=0.08)


@pytest.mark.parametrize(("count", "between"), [(19, 0.0), (40, 0.0), (40, 0.5)])
def test_a_further_case_has_at_most_alpha_outside_on_average(count, between):
    """Over many calibrations, whatever differs between cases: the promise, and that it is not kept by mere width."""
    rng = np.random.default_rng(count)
    new = []
    for _ in range(200):
        kappa = choose_kappa(patients(rng, count, between=between), alpha=ALPHA).value
        new += [loss(case, kappa) for case in patients(rng, 4, between=between)]
    error = np.std(new) / np.sqrt(len(new))
    assert np.mean(new) <= ALPHA + 3 * error
    if count > 19:
        assert np.mean(new) >= ALPHA - 1.2 * (1 / (count + 1)) - 3 * error


def test_kappa_is_the_smallest_that_will_do():
    cases = patients(np.random.default_rng(1), 30)
    kappa = choose_kappa(cases, alpha=ALPHA).value

    def allowed(value):
        return (sum(loss(case, value) for case in cases) + 1) / (len(cases) + 1) <= ALPHA + 1e-9

    assert allowed(kappa)
    assert not allowed(np.nextafter(kappa, 0))


@given(
    st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=6), min_size=19, max_size=25),
    st.sampled_from([0.05, 0.1, 0.3]),
)
def test_ties_do_not_break_the_promise(numbers, alpha):
    """Ratios on few values (a voxel's grid) make plateaus."""
    cases = [np.array(each, float) for each in numbers]
    found = choose_kappa(cases, alpha=alpha)
    assert (found.risk * len(cases) + 1) / (len(cases) + 1) <= alpha + 1e-9
    tighter = [v for v in {0.0, *np.concatenate(cases)} if v < found.value]
    assert all((risk(cases, v) * len(cases) + 1) / (len(cases) + 1) > alpha for v in tighter)


def test_a_smaller_alpha_asks_for_a_wider_band():
    cases = patients(np.random.default_rng(2), 120)
    values = [choose_kappa(cases, alpha=alpha).value for alpha in (0.3, 0.2, 0.1, 0.05, 0.01)]
    assert values == sorted(values)


def test_the_curve_falls_and_passes_through_the_choice():
    cases = patients(np.random.default_rng(3), 40)
    kappa = choose_kappa(cases, alpha=ALPHA)
    places, risks = np.array(curve(cases, kappa.value)).T
    assert (np.diff(places) > 0).all() and (np.diff(risks) <= 0).all()
    assert risks[0] > 0.9 and risks[-1] < ALPHA
    assert risks[len(risks) // 2] == pytest.approx(kappa.risk)


def test_the_signs_of_distances_do_not_matter():
    rng = np.random.default_rng(4)
    cases = [rng.normal(size=100) for _ in range(25)]
    assert choose_kappa(cases).value == choose_kappa([np.abs(case) for case in cases]).value


def test_held_out_risk_is_honest_and_absent_where_cases_are_too_few():
    cases = patients(np.random.default_rng(5), 60, between=0.4)
    found = choose_kappa(cases)
    assert found.risk < found.held_out_risk < 2 * ALPHA
    assert np.isnan(choose_kappa(cases[:19]).held_out_risk)


@pytest.mark.parametrize(("alpha", "least"), [(0.05, 19), (0.1, 9), (0.2, 4), (0.01, 99)])
def test_too_few_cases_are_refused_with_the_number_that_is_needed(alpha, least):
    assert least_cases(alpha) == least
    cases = patients(np.random.default_rng(6), least)
    assert choose_kappa(cases, alpha=alpha).value == pytest.approx(np.max(cases))  # everything must be held
    with pytest.raises(CalibrationError, match=f"at least {least}"):
        choose_kappa(cases[1:], alpha=alpha)


def test_a_surface_outside_every_volume_cannot_be_held():
    cases = patients(np.random.default_rng(7), 19)
    cases[0] = np.array([1.0, np.inf])
    with pytest.raises(CalibrationError, match="volume of interest"):
        choose_kappa(cases)


def test_a_surface_outside_the_volume_counts_as_missed():
    cases = patients(np.random.default_rng(8), 60)
    with_hole = [*cases[1:], np.append(cases[0], np.full(20, np.inf))]
    assert choose_kappa(with_hole).value > choose_kappa(cases).value


def test_a_case_without_points_is_refused():
    with pytest.raises(CalibrationError, match="no point"):
        choose_kappa([*patients(np.random.default_rng(9), 19), np.empty(0)])
