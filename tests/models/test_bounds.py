import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.bounds import paper_bounds

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
