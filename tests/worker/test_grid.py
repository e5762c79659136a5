"""Where voxels lie, and that nothing is lost between index, patient and image."""

import numpy as np
import pytest
from hypothesis import given
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
