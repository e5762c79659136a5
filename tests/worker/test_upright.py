"""Whatever way the patient lay, pictures have the head up, the back down and the patient's left on the right."""

from dataclasses import replace

import numpy as np
import pytest

from worker.upright import Upright

# Direction cosines of the image's columns and rows (PS3.3 C.7.6.2.1.1); the third axis is their cross product.
LYING = {
    "HFS": ((1, 0, 0), (0, 1, 0)),
    "HFP": ((-1, 0, 0), (0, -1, 0)),
    "FFS": ((-1, 0, 0), (0, 1, 0)),
    "FFP": ((1, 0, 0), (0, -1, 0)),
    "HFDL": ((0, -1, 0), (1, 0, 0)),
    "HFDR": ((0, 1, 0), (-1, 0, 0)),
    "turned by 3 degrees": ((0.99863, 0.05234, 0), (-0.05234, 0.99863, 0)),
}


@pytest.mark.parametrize("lying", LYING)
def test_indices_rise_to_the_head_the_back_and_the_left(draw, lying):
    column, row = (np.array(each, float) for each in LYING[lying])
    cosines = np.stack([column, row, np.cross(column, row)], axis=1)
    grid = replace(draw.grid((7, 6, 5), (1.0, 2.0, 3.0)), direction=tuple(cosines.ravel()))
    upright = Upright.of_grid(grid)
    z, y, x = np.indices((5, 6, 7))
    at_mm = np.einsum("pi,izyx->pzyx", cosines, np.stack([x * 1.0, y * 2.0, z * 3.0]))
    left, back, head = (upright.of(each) for each in at_mm)
    for axis, (field, spacing) in enumerate(zip((head, back, left), upright.spacing_mm, strict=True)):
        assert np.diff(field, axis=axis) == pytest.approx(spacing, abs=0.01)
    assert upright.of(z).base is not None  # a view: fields are large


def test_a_grid_halfway_between_the_patients_axes_has_a_picture_too(draw):
    half = np.sqrt(0.5)
    grid = replace(draw.grid((4, 4, 4)), direction=(half, -half, 0, half, half, 0, 0, 0, 1))
    assert sorted(Upright.of_grid(grid).axes) == [0, 1, 2]
