"""Where uneven spacing ends and a missing slice begins."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.acquisitions import check_acquisitions
from worker.errors import MissingSlices, MixedSeries
from worker.slice_geometry import SlicePlane, stack_slices


def planes_at(heights):
    """Slices at heights in mm along z; the label is the height."""
    return [
        SlicePlane(
            label=f"{z:.2f}",
            position_mm=np.array([0.0, 0.0, z]),
            orientation=np.array([1.0, 0, 0, 0, 1, 0]),
            spacing_mm=(1.0, 1.0),
            shape=(8, 9),
        )
        for z in heights
    ]


def heights_of(*steps):
    return np.concatenate([[0.0], np.cumsum(steps)])


@pytest.mark.parametrize(
    "steps",
    [
        [3] * 10 + [5] * 10,
        [4] * 12 + [7] * 6,
        [7] * 4 + [4] * 12,
        [2] * 8 + [3] * 8 + [2] * 8,
        [5] * 6 + [2.5] * 12 + [5] * 6,
        [2.5] * 12 + [5] * 6,
        list(np.random.default_rng(0).uniform(2.4, 3.2, 30)),
    ],
    ids=["3-5", "4-7", "7-4", "2-3-2", "5-2.5-5", "2.5-5", "jitter"],
)
def test_protocols_that_change_the_distance_are_no_gap(steps):
    heights = heights_of(*steps)
    order = np.random.default_rng(1).permutation(len(heights))
    stack = stack_slices(planes_at(heights[order]), "1.2.3")
    assert stack.grid.slice_offsets_mm == pytest.approx(tuple(heights))
    assert [f.code for f in stack.findings] == ["uneven-spacing"]


@pytest.mark.parametrize(
    ("steps", "z"),
    [
        ([3] * 9 + [6] + [3] * 9, 27),
        ([3] * 9 + [6], 27),
        ([6] + [3] * 9, 0),
        ([3] * 9 + [6, 6], 27),
        ([3] * 9 + [6, 6] + [3] * 9, 27),
        ([3] * 9 + [6] * 5 + [3] * 9, 27),
        ([3] * 9 + [9] * 4 + [3] * 9, 27),
        ([3] * 9 + [8] + [5] * 9, 27),
        ([2, 4] * 8, 2),
        ([5, 5, 10], 10),
    ],
)
def test_missing_slices_are_refused_and_the_place_is_named(steps, z):
    with pytest.raises(MissingSlices, match=rf"instance {z:.2f} at z = {z:.1f} mm"):
        stack_slices(planes_at(heights_of(*steps)), "1.2.3")


@settings(max_examples=60, deadline=None)
@given(step=st.floats(0.5, 6), count=st.integers(12, 60), seed=st.integers(0, 1000), data=st.data())
def test_any_one_slice_that_is_missing_is_found(step, count, seed, data):
    """In a series whose positions are rounded to a tenth of the distance."""
    heights = np.arange(count) * step + np.random.default_rng(seed).uniform(-0.05, 0.05, count) * step
    missing = data.draw(st.integers(1, count - 2))
    with pytest.raises(MissingSlices) as caught:
        stack_slices(planes_at(np.delete(heights, missing)), "1.2.3")
    assert f"{heights[missing - 1]:.2f}" in caught.value.message


@settings(max_examples=60, deadline=None)
@given(step=st.floats(0.5, 6), count=st.integers(2, 60), seed=st.integers(0, 1000))
def test_positions_rounded_by_the_scanner_make_a_regular_grid(step, count, seed):
    heights = np.arange(count) * step + np.random.default_rng(seed).uniform(-0.05, 0.05, count) * step
    grid = stack_slices(planes_at(heights), "1.2.3").grid
    assert not grid.is_uneven
    assert grid.spacing_mm[2] == pytest.approx((heights[-1] - heights[0]) / (count - 1))


def turned(angle):
    return np.array([np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0])


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        ({"orientation": turned(5e-6)}, True),  # five thousandths of a millimetre at the far corner
        ({"orientation": turned(3e-5)}, False),
        ({"orientation": turned(1.9e-3)}, False),
        ({"orientation": np.array([1, 0, 0, 0, 1, 3e-5])}, False),
        ({"spacing_mm": (0.977, 0.977 + 5e-6)}, True),
        ({"spacing_mm": (0.977, 0.978)}, False),
        ({"spacing_mm": (0.97703, 0.977)}, False),
    ],
)
@pytest.mark.parametrize("at", [0, 11, 21])
def test_one_slice_with_other_axes_is_refused_before_its_contours_are_off(change, accepted, at):
    """By more than the hundredth of a millimetre that a contour's place may be wrong."""
    planes = [replace(p, spacing_mm=(0.977, 0.977), shape=(512, 512)) for p in planes_at(np.arange(22) * 3.0)]
    planes[at] = replace(planes[at], **change)
    if accepted:
        stack_slices(planes, "1.2.3")
        return
    with pytest.raises(MixedSeries, match=rf"Instances .*\b{planes[at].label}\b.* differ"):
        stack_slices(planes, "1.2.3")


def acquisitions(heights, numbers):
    planes = planes_at(heights)
    return check_acquisitions([(p.label, n) for p, n in zip(planes, numbers, strict=True)], planes)


def test_acquisitions_may_follow_each_other_but_not_overlap():
    heights = np.arange(0, 60, 3.0)
    assert acquisitions(heights, [""] * 20) == acquisitions(heights, ["7"] * 20) == []
    assert acquisitions(heights, [str(n) for n in range(20)]) == []  # a rotation per slice
    (finding,) = acquisitions(heights, ["2"] * 12 + ["1"] * 8)
    assert finding.code == "several-acquisitions" and "2 acquisitions" in finding.message
    with pytest.raises(MixedSeries, match=r"acquisitions 1 and 2.*instance 3\.00"):
        acquisitions(heights, ["1", "2"] * 10)
