import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.bounds import as_field, calibrated_bounds, nested, paper_bounds

SHAPE = (3, 4, 5)
probabilities = arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))
deviations = arrays(np.float32, SHAPE, elements=st.floats(0, 0.5, width=32))


@given(mean=probabilities, std=deviations)
def test_bounds_are_nested_at_every_level(mean, std):
    lower, upper = paper_bounds(mean, std**2)
    assert (lower <= mean).all() and (mean <= upper).all()
    assert lower.min() >= 0 and upper.max() <= 1


@given(mean=probabilities)
def test_without_variance_there_is_no_band(mean):
    lower, upper = paper_bounds(mean, np.zeros(SHAPE, np.float32))
    assert (lower == mean).all() and (upper == mean).all()


def test_saturated_passes_make_a_vote():
    """With passes of 0 and 1 the bounds are a vote of 5.3 % and 94.7 %: 3 and 48 of 50 (SCIENCE 2.3)."""
    share = np.arange(51, dtype=np.float32) / 50
    lower, upper = paper_bounds(share, share * (1 - share))
    assert int(np.argmax(upper >= 0.5)) == 3
    assert int(np.argmax(lower >= 0.5)) == 48


distances = arrays(np.float32, SHAPE, elements=st.floats(-25, 25, width=32))
spreads = arrays(np.float32, SHAPE, elements=st.floats(0, 10, width=32))


@given(mean=probabilities, mu=distances, s=spreads, kappa=st.floats(0, 6), level=st.floats(0.2, 0.8))
def test_calibrated_bounds_are_nested_with_the_mean(mean, mu, s, kappa, level):
    inner, outer = calibrated_bounds(mu, s, kappa, 0.75)
    lower, upper = nested(as_field(inner, level), mean, as_field(outer, level))
    assert (lower <= mean).all() and (mean <= upper).all()
    assert lower.min() >= 0 and upper.max() <= 1 and lower.dtype == upper.dtype == np.float32


def test_calibrated_bounds_lie_kappa_deviations_either_side():
    along = np.linspace(-20, 20, 4001, dtype=np.float32)  # signed distance to the mean surface
    for s, half_width in ((2.0, 3.0), (0.1, 1.125)):  # with s0 = 0.75 the second may not be narrower
        inner, outer = calibrated_bounds(along, np.full_like(along, s), 1.5, 0.75)
        for distance, place in ((inner, -half_width), (outer, half_width)):
            field = as_field(distance, 0.5)
            assert along[np.flatnonzero(field >= 0.5)[-1]] == pytest.approx(place, abs=0.011)


def test_the_band_reaches_beyond_what_any_pass_has_drawn():
    """Ten passes that agree: the paper's band has no width, the calibrated one has."""
    mean = as_field(np.linspace(-20, 20, 401, dtype=np.float32), 0.5)
    lower, upper = paper_bounds(mean, np.zeros_like(mean))
    assert (lower == upper).all()
    mu = np.linspace(-20, 20, 401, dtype=np.float32)
    inner, outer = calibrated_bounds(mu, np.zeros_like(mu), 2.0, 0.75)
    assert (as_field(outer, 0.5) >= 0.5).sum() - (as_field(inner, 0.5) >= 0.5).sum() == pytest.approx(
        30, abs=1
    )
