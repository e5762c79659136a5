"""Metrics on shapes whose values are known on paper."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.metrics import (
    added_path_length_mm,
    agreement,
    average_surface_distance_mm,
    dice,
    hausdorff_95_mm,
    intersection_over_union,
    surface_dsc,
)

ANISOTROPIC = (3.0, 1.0, 1.0)
NOTHING = np.zeros((8, 12, 12), bool)


def cube(low, high, n=20):
    mask = np.zeros((n, n, n), bool)
    mask[low:high, low:high, low:high] = True
    return mask


def plate(first, last):
    """Slices first to last - 1, all of the image in the plane."""
    mask = np.zeros((24, 30, 30), bool)
    mask[first:last] = True
    return mask


def ball(radius_mm, spacing=ANISOTROPIC, offset_zyx_mm=(0, 0, 0)):
    axes = [np.arange(-45, 45.1, step) for step in spacing]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    dz, dy, dx = offset_zyx_mm
    return (z - dz) ** 2 + (y - dy) ** 2 + (x - dx) ** 2 <= radius_mm**2


def test_dice_and_iou_by_hand():
    assert dice(cube(0, 4), cube(2, 6)) == pytest.approx(2 * 8 / 128)
    assert intersection_over_union(cube(0, 4), cube(2, 6)) == pytest.approx(8 / 120)
    for overlap in (dice, intersection_over_union):
        assert overlap(cube(0, 0), cube(0, 0)) == 1.0
        assert overlap(cube(0, 4), cube(0, 0)) == 0.0


def test_concentric_balls_are_apart_by_the_difference_of_their_radii():
    fine = (1.0, 1.0, 1.0)
    balls = ball(20, fine), ball(26, fine)
    assert average_surface_distance_mm(*balls, fine) == pytest.approx(6, abs=0.25)
    assert hausdorff_95_mm(*balls, fine) == pytest.approx(6, abs=0.5)
    inner, outer = ball(20), ball(26)  # on 3 mm slices, surface voxels lie up to half a slice off
    assert average_surface_distance_mm(inner, outer, ANISOTROPIC) == pytest.approx(6, abs=0.6)
    assert surface_dsc(*balls, fine, tolerance_mm=4.5) == 0
    assert surface_dsc(*balls, fine, tolerance_mm=7.5) == 1


def test_distances_are_in_mm_along_every_axis():
    """A slab moved along z: its two long faces, 40 pixels wide, are apart by slices of 3 mm."""
    still, moved = plate(8, 12), plate(9, 13)
    assert hausdorff_95_mm(still, moved, ANISOTROPIC) == pytest.approx(3.0)
    assert hausdorff_95_mm(still, moved, (1.5, 1.0, 1.0)) == pytest.approx(1.5)
    turned = [mask.transpose(1, 0, 2) for mask in (still, moved)]
    assert hausdorff_95_mm(*turned, (1.0, 3.0, 1.0)) == pytest.approx(3.0)


def test_hausdorff_is_a_percentile_and_takes_the_worse_direction():
    """A spike of one voxel column does not move it; a second piece of a tenth of the surface does, from one side."""
    body = cube(4, 16)
    spike = body.copy()
    spike[10, 10, 16:19] = True
    assert hausdorff_95_mm(body, spike, (1, 1, 1)) == 0
    two = body.copy()
    two[10, 0:2, :] = True
    assert hausdorff_95_mm(body, two, (1, 1, 1)) > 2
    assert hausdorff_95_mm(two, body, (1, 1, 1)) == hausdorff_95_mm(body, two, (1, 1, 1))


def test_surface_dsc_counts_area_within_the_tolerance():
    """Half a cylinder moved outwards by 4 mm: about half of its wall is within 2 mm of the other, all within 5."""
    z, y, x = np.mgrid[:40, -40:41, -40:41]
    radius = np.hypot(x, y)
    whole = (radius <= 20) & (z >= 0)
    swollen = (radius <= np.where(x > 0, 24, 20)) & (z >= 0)
    spacing = (1.0, 1.0, 1.0)
    # the end faces of both (π r²) touch and count as well
    wall, ends = np.pi * 20 * 40, 2 * np.pi * 20**2
    near, near_swollen = wall + ends, wall + ends + np.pi * (24**2 - 20**2) * 0.5
    far = np.pi * 20 * 40 + np.pi * 24 * 40
    expected = (near + near_swollen) / (near + near_swollen + far)
    assert surface_dsc(whole, swollen, spacing, tolerance_mm=2) == pytest.approx(expected, abs=0.03)
    assert surface_dsc(whole, swollen, spacing, tolerance_mm=5) == 1


def test_added_path_length_is_what_must_be_drawn():
    """A square of 10 pixels on 4 slices, moved by one pixel: of 36 outline pixels two sides of 9 still fit."""
    reference, contour = np.zeros((8, 24, 24), bool), np.zeros((8, 24, 24), bool)
    reference[2:6, 5:15, 5:15] = True
    contour[2:6, 5:15, 6:16] = True
    kept = 9 + 9  # top and bottom rows, where they overlap
    assert added_path_length_mm(contour, reference, (3.0, 1.2, 1.2)) == pytest.approx(4 * (36 - kept) * 1.2)
    assert added_path_length_mm(reference, reference, ANISOTROPIC) == 0
    contour[2:6] = reference[2:6]
    contour[5] = False  # a missing slice is drawn in full; slices on top cost nothing but deleting
    assert added_path_length_mm(contour, reference, (3.0, 1.2, 1.2)) == pytest.approx(36 * 1.2)
    assert added_path_length_mm(reference, contour, (3.0, 1.2, 1.2)) == 0


def test_what_is_missing_is_infinitely_far_and_no_error():
    one = cube(3, 9)
    missing = agreement(np.zeros_like(one), one, (1, 1, 1))
    assert missing.dsc == missing.surface_dsc_2mm == missing.surface_dsc_3mm == 0
    assert missing.asd_mm == missing.hd95_mm == float("inf")
    assert missing.apl_mm == 4 * 5 * 6  # all of it: the outline of 6 by 6 on six slices
    both = agreement(NOTHING, NOTHING, (1, 1, 1))
    assert (both.dsc, both.asd_mm, both.hd95_mm, both.surface_dsc_3mm, both.apl_mm) == (1, 0, 0, 1, 0)


def test_all_metrics_at_once_are_the_single_ones():
    a, b = ball(20), ball(22, offset_zyx_mm=(3, 2, 0))
    whole = agreement(a, b, ANISOTROPIC)
    assert whole.asd_mm == pytest.approx(average_surface_distance_mm(a, b, ANISOTROPIC))
    assert whole.hd95_mm == pytest.approx(hausdorff_95_mm(a, b, ANISOTROPIC))
    assert whole.surface_dsc_2mm == pytest.approx(surface_dsc(a, b, ANISOTROPIC, tolerance_mm=2))
    assert whole.apl_mm == pytest.approx(added_path_length_mm(a, b, ANISOTROPIC))
    assert whole.surface_dsc_2mm < whole.surface_dsc_3mm


@settings(max_examples=15, deadline=None)
@given(shift=st.tuples(*[st.integers(-3, 3)] * 3), low=st.integers(4, 7), size=st.integers(3, 8))
def test_a_shifted_box_is_no_farther_than_it_was_shifted(shift, low, size):
    a, b = np.zeros((24, 24, 24), bool), np.zeros((24, 24, 24), bool)
    a[(slice(low, low + size),) * 3] = True
    b[tuple(slice(low + s, low + s + size) for s in shift)] = True
    length = float(np.hypot.reduce(np.multiply(shift, ANISOTROPIC)))
    there, back = agreement(a, b, ANISOTROPIC), agreement(b, a, ANISOTROPIC)
    assert there.asd_mm <= there.hd95_mm + 1e-4 <= length + 2e-4
    for name in ("dsc", "asd_mm", "hd95_mm", "surface_dsc_2mm"):
        assert getattr(there, name) == pytest.approx(getattr(back, name), abs=1e-5)
