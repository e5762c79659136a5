"""Where voxels lie, and that nothing is lost between index, patient and image."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.grid import Grid, resample

POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "HFP": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "FFS": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    "FFP": (1, 0, 0, 0, -1, 0, 0, 0, -1),
    "HFDL": (0, -1, 0, 1, 0, 0, 0, 0, 1),
}
SPACINGS = st.floats(0.3, 6)
COORDINATES = st.floats(-600, 600)


@st.composite
def grids(draw):
    return Grid(
        size_xyz=tuple(draw(st.integers(1, 40)) for _ in range(3)),
        spacing_mm=tuple(draw(SPACINGS) for _ in range(3)),
        origin_mm=tuple(draw(COORDINATES) for _ in range(3)),
        direction=draw(st.sampled_from(list(POSITIONS.values()))),
        frame_of_reference_uid="1.2.3",
    )


@given(grid=grids(), point=st.tuples(COORDINATES, COORDINATES, COORDINATES))
def test_index_and_patient_coordinates_are_inverse(grid, point):
    assert grid.to_patient(grid.to_index(point)) == pytest.approx(point, abs=1e-6)


@given(grid=grids())
def test_the_grid_agrees_with_simpleitk_on_every_corner(grid):
    image = grid.image(np.zeros(grid.shape_zyx, np.float32))
    for corner in np.ndindex(2, 2, 2):
        index = tuple(int(c * (n - 1)) for c, n in zip(corner, grid.size_xyz, strict=True))
        assert image.TransformIndexToPhysicalPoint(index) == pytest.approx(grid.to_patient(index), abs=1e-6)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32])
def test_an_array_survives_the_way_through_an_image(draw, dtype):
    grid = draw.grid((3, 4, 5))
    array = (np.arange(60).reshape(grid.shape_zyx) % 2).astype(dtype)
    assert (Grid.array(grid.image(array)).astype(dtype) == array).all()


@pytest.mark.parametrize("position", POSITIONS)
def test_resampling_there_and_back_keeps_a_structure_in_place(draw, position):
    identity = draw.grid((60, 50, 40), (1.5, 1.5, 1.5))
    turned = draw.grid((70, 80, 40), (1.1, 1.3, 2.0), direction=POSITIONS[position])
    centre = np.array([10.0, -5.0, 4.0])
    field = resample(draw.ball(turned, centre, 12), turned, identity, outside=0)
    points = draw.points(identity)
    found = (points * field[..., None]).sum((0, 1, 2)) / field.sum()
    assert found == pytest.approx(centre, abs=0.1)
    assert field.dtype == np.float32


def test_outside_the_source_the_given_value_is_set_and_types_stay(draw):
    small, large = draw.grid((4, 4, 4)), draw.grid((20, 20, 20))
    hu = resample(np.zeros(small.shape_zyx, np.int16), small, large, outside=-1024)
    assert hu.dtype == np.int16 and hu[0, 0, 0] == -1024 and (hu == 0).any()
    mask = resample(np.ones(small.shape_zyx, bool), small, large, outside=0, nearest=True)
    assert mask.dtype == bool and mask.any() and not mask.all()


def test_grids_of_two_frames_are_not_mixed(draw):
    grid = draw.grid((4, 4, 4))
    other = Grid(**{**grid.__dict__, "frame_of_reference_uid": "1.2.99"})
    with pytest.raises(ValueError, match="frames of reference"):
        resample(np.zeros(grid.shape_zyx, np.int16), grid, other, outside=0)


def test_an_array_of_another_shape_is_refused(draw):
    with pytest.raises(ValueError, match="shape"):
        draw.grid((4, 5, 6)).image(np.zeros((4, 5, 6), np.float32))


@st.composite
def uneven_grids(draw):
    grid = draw(grids())
    steps = draw(st.lists(st.floats(0.5, 8), min_size=2, max_size=30))
    offsets = tuple(float(o) for o in np.concatenate([[0.0], np.cumsum(steps)]))
    return replace(grid, size_xyz=(*grid.size_xyz[:2], len(offsets)), slice_offsets_mm=offsets)


@settings(deadline=None)
@given(grid=uneven_grids(), point=st.tuples(COORDINATES, COORDINATES, COORDINATES))
def test_index_and_patient_coordinates_are_inverse_on_uneven_slices_too(grid, point):
    assert grid.to_patient(grid.to_index(point)) == pytest.approx(point, abs=1e-6)
    for z in (0, len(grid.slice_offsets_mm) - 1):
        normal = np.reshape(grid.direction, (3, 3))[:, 2]
        assert grid.to_patient((0, 0, z)) == pytest.approx(
            grid.origin_mm + normal * grid.slice_offsets_mm[z], abs=1e-6
        )


@settings(deadline=None)
@given(grid=uneven_grids())
def test_heights_of_uneven_slices_add_up_and_their_even_grid_spans_them(grid):
    steps = np.diff(grid.slice_offsets_mm)
    height = grid.slice_offsets_mm[-1]
    assert grid.slice_extents_mm.sum() == pytest.approx(height + (steps[0] + steps[-1]) / 2)
    even = grid.evened()
    assert even.spacing_mm[2] * (even.size_xyz[2] - 1) == pytest.approx(height)
    assert even.spacing_mm[2] <= max(steps.min(), np.median(steps) / 4) + 1e-6
    with pytest.raises(ValueError, match="unevenly"):
        grid.image(np.zeros(grid.shape_zyx, np.float32))


def test_uneven_slices_are_resampled_where_they_lie(draw):
    """A ramp along z stays what it is, onto even slices and back onto the uneven ones; labels keep their values."""
    offsets = tuple(np.concatenate([np.arange(0, 30, 3.0), np.arange(30, 56, 5.0)]))
    uneven = replace(draw.grid((6, 5, len(offsets)), origin_mm=(0, 0, -20)), slice_offsets_mm=offsets)
    even = draw.grid((6, 5, 50), (1, 1, 1), origin_mm=(0, 0, -18))
    ramp = draw.points(uneven)[..., 2].astype(np.float32)
    assert resample(ramp, uneven, even, outside=0) == pytest.approx(draw.points(even)[..., 2], abs=1e-3)
    fine = draw.grid((6, 5, 80), (1, 1, 1), origin_mm=(0, 0, -22))
    assert resample(draw.points(fine)[..., 2], fine, uneven, outside=0) == pytest.approx(ramp, abs=1e-3)
    labels = np.zeros(uneven.shape_zyx, np.uint8)
    labels[11:] = 7
    assert set(np.unique(resample(labels, uneven, even, outside=0, nearest=True))) == {0, 7}


def test_volumes_on_uneven_slices_are_those_of_the_mask(draw):
    offsets = tuple(np.concatenate([np.arange(0, 30, 2.0), np.arange(30, 61, 3.0)]))
    uneven = replace(
        draw.grid((60, 60, len(offsets)), origin_mm=(-29.5, -29.5, -30)), slice_offsets_mm=offsets
    )
    mask = draw.ball(uneven, (0, 0, 0.5), 22) > 0.5
    assert uneven.volume_mm3(mask) == pytest.approx(4 / 3 * np.pi * 22**3, rel=0.01)
    even = draw.grid((4, 4, 4), (1, 1, 3))
    assert even.volume_mm3(np.ones((4, 4, 4), bool)) == 64 * even.voxel_mm3
