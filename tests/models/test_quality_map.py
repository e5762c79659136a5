import numpy as np
import pytest

from models.calibration.conformal import CalibrationError
from models.calibration.quality import QualityMap, fit_quality, least_cases


def cohort(rng, count, noise=0.02):
    quality = rng.uniform(0.6, 0.98, count)
    return quality, np.clip(0.3 + 0.68 * quality + rng.normal(scale=noise, size=count), 0, 1)


def test_the_prediction_rises_and_follows_the_truth():
    fitted = fit_quality(*cohort(np.random.default_rng(0), 60))
    assert (np.diff(fitted.dsc) >= 0).all()
    for quality in (0.7, 0.8, 0.9):
        assert fitted.predict(quality).value == pytest.approx(0.3 + 0.68 * quality, abs=0.02)


def test_ends_enclose_the_prediction_and_stay_possible():
    fitted = fit_quality(*cohort(np.random.default_rng(1), 20, noise=0.2))
    low, value, high = (np.array(v) for v in (fitted.low, fitted.dsc, fitted.high))
    assert (low <= value).all() and (value <= high).all()
    assert low.min() >= 0 and high.max() <= 1
    assert (np.diff(low) >= 0).all() and (np.diff(high) >= 0).all()


@pytest.mark.parametrize("count", [12, 40])
def test_nine_of_ten_further_cases_lie_within_the_interval(count):
    rng = np.random.default_rng(count)
    held = []
    for _ in range(60):
        fitted = fit_quality(*cohort(rng, count))
        for quality, dsc in zip(*cohort(rng, 10), strict=True):
            told = fitted.predict(quality)
            held.append(told.low <= dsc <= told.high)
    assert 0.85 < np.mean(held) < 0.985


def test_below_what_was_seen_nothing_is_promised():
    fitted = fit_quality(*cohort(np.random.default_rng(2), 40))
    told = fitted.predict(0.2)
    assert told.low == 0 and told.value == fitted.dsc[0] and told.high == fitted.high[0]
    assert fitted.predict(1.0).low > 0.8


def test_a_score_that_says_nothing_predicts_the_mean():
    rng = np.random.default_rng(3)
    dsc = rng.normal(0.9, 0.02, 60)
    fitted = fit_quality(rng.uniform(0.7, 0.95, 60), dsc)
    assert fitted.dsc[-1] - fitted.dsc[0] < 0.1
    assert fitted.predict(0.8).value == pytest.approx(0.9, abs=0.03)


def test_equal_qualities_count_as_their_mean():
    quality = np.repeat([0.7, 0.9], 10)
    dsc = np.concatenate([np.linspace(0.75, 0.85, 10), np.linspace(0.9, 1.0, 10)])
    fitted = fit_quality(quality, dsc)
    assert fitted.predict(0.7).value == pytest.approx(0.80) and fitted.predict(0.9).value == pytest.approx(
        0.95
    )


def test_too_few_cases_give_no_interval():
    assert least_cases() == 9
    quality, dsc = cohort(np.random.default_rng(4), 9)
    fit_quality(quality, dsc)
    with pytest.raises(CalibrationError, match="9 are needed"):
        fit_quality(quality[1:], dsc[1:])


def test_knots_are_straight_lines():
    told = QualityMap(quality=(0.5, 1.0), dsc=(0.6, 0.8), low=(0.4, 0.7), high=(0.7, 0.9)).predict(0.75)
    assert (told.value, told.low, told.high) == pytest.approx((0.7, 0.55, 0.8))
