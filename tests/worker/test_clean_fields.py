import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from worker.clean_fields import IN_PLANE, SPECK_PX, Fields

LEVEL = 0.5


def raw_fields(seed, grain):
    """Ragged fields with islands: smooth noise, and a band of random width around it."""
    rng = np.random.default_rng(seed)
    mean = ndimage.gaussian_filter(rng.normal(size=(6, 40, 40)), grain).astype(np.float32)
    mean = np.clip(0.5 + 0.25 * mean / mean.std(), 0, 1).astype(np.float32)
    width = rng.uniform(0, 0.3, mean.shape).astype(np.float32)
    return np.clip(mean - width, 0, 1), mean, np.clip(mean + width, 0, 1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), grain=st.floats(0.6, 3))
def test_bounds_stay_nested_and_specks_are_gone(seed, grain):
    fields = Fields.cleaned(*raw_fields(seed, grain), LEVEL)
    assert (fields.lower <= fields.mean).all() and (fields.mean <= fields.upper).all()
    for field in (fields.lower, fields.mean, fields.upper):
        labels, count = ndimage.label(field >= LEVEL, structure=IN_PLANE)
        if count:
            assert np.bincount(labels.ravel())[1:].min() >= SPECK_PX


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_nothing_is_added_and_what_stays_is_unchanged(seed):
    raw = raw_fields(seed, 2.0)
    for before, after in zip(raw, vars(Fields.cleaned(*raw, LEVEL)).values(), strict=True):
        assert ((after == before) | (after < before)).all()


def test_an_island_goes_and_the_organ_stays():
    mean = np.zeros((5, 60, 60), np.float32)
    mean[1:4, 10:30, 10:30] = 0.9
    mean[1:4, 45:50, 45:50] = 0.9
    fields = Fields.cleaned(mean, mean, mean, LEVEL)
    assert (fields.mean[2, 10:30, 10:30] == np.float32(0.9)).all()
    assert not fields.upper[:, 40:, 40:].any()
