"""Coverage of a true surface by a band, on boxes whose faces one can count."""

import numpy as np
import pytest

from models.evaluation.band_coverage import band_coverage, faces, surface_outside

SPACING = (3.0, 1.0, 2.0)
NOTHING = np.zeros((30, 30, 30), bool)


def box(*edges):
    mask = NOTHING.copy()
    mask[tuple(slice(low, high) for low, high in edges)] = True
    return mask


TRUTH = box((6, 18), (10, 20), (10, 20))  # 36 mm high, 10 by 20 mm
END = 10 * 20.0  # mm² of an end face
SIDE = 12 * (10 * 3.0 * 1.0 + 10 * 3.0 * 2.0) * 2


def test_faces_are_the_surface():
    found = faces(TRUTH, SPACING)
    assert found.area_mm2.sum() == pytest.approx(2 * END + SIDE)
    ends = found.centre_mm[:, 0]
    assert ends.min() == 5.5 * 3 and ends.max() == 17.5 * 3
    assert not TRUTH[tuple(found.outer_zyx.T)].any() and TRUTH[tuple(found.inner_zyx.T)].all()


def test_a_structure_at_the_images_edge_has_a_surface_there():
    whole = np.ones((2, 3, 4), bool)
    assert faces(whole, (1, 1, 1)).area_mm2.sum() == 2 * (2 * 3 + 3 * 4 + 2 * 4)
    assert surface_outside(whole, whole, whole, (1, 1, 1)) == 0


def test_the_truth_itself_and_wider_bands_hold_it_all():
    bigger, smaller = box((4, 20), (8, 22), (8, 22)), box((9, 14), (13, 17), (13, 17))
    for lower, upper in ((TRUTH, TRUTH), (smaller, bigger), (NOTHING, bigger), (smaller, TRUTH)):
        found = band_coverage(lower, upper, TRUTH, SPACING)
        assert found.outside == 0 and found.outside_thirds == (0, 0, 0)


def test_one_voxel_too_little_or_too_much_is_outside():
    short = box((6, 18), (10, 20), (10, 19))  # the upper bound misses the outermost voxels on one side
    found = band_coverage(NOTHING, short, TRUTH, SPACING)
    missed = 12 * (10 * 3.0 * 1.0 + 2 * 3.0 * 2.0) + 2 * 10 * 2.0  # that side, and the rims of four others
    assert found.outside == pytest.approx(missed / (2 * END + SIDE)) == pytest.approx(found.beyond_upper)
    assert found.within_lower == 0
    fat = box((6, 18), (10, 20), (10, 21))  # the lower bound reaches beyond the truth on one side
    found = band_coverage(fat, fat, TRUTH, SPACING)
    side = 12 * 10 * 3.0 * 1.0
    assert found.outside == pytest.approx(side / (2 * END + SIDE)) == pytest.approx(found.within_lower)
    assert found.beyond_upper == 0


def test_end_slices_count_by_their_area():
    """An upper bound one slice short: the end face and the last slice's sides lie outside."""
    found = band_coverage(NOTHING, box((6, 17), (10, 20), (10, 20)), TRUTH, SPACING)
    assert found.outside == pytest.approx((END + SIDE / 12) / (2 * END + SIDE))


@pytest.mark.parametrize("head_is_up", [True, False])
def test_thirds_run_from_the_feet(head_is_up):
    """Above, the bound misses everything; below, nothing."""
    upper = box((6, 14), (10, 20), (10, 20))
    found = band_coverage(NOTHING, upper, TRUTH, SPACING, head_is_up=head_is_up)
    ordered = found.outside_thirds if head_is_up else found.outside_thirds[::-1]
    assert ordered == (0, 0, 1)
    overall = (END + SIDE / 3) / (2 * END + SIDE)
    assert found.outside == pytest.approx(overall)
    assert surface_outside(NOTHING, upper, TRUTH, SPACING) == pytest.approx(overall)


def test_width_is_the_distance_between_the_bounds_in_mm():
    """Bounds apart by 1 voxel along y (1 mm) and x (2 mm), equal at the ends, wider above."""
    lower = box((6, 18), (10, 20), (10, 20))
    wide = box((6, 18), (7, 23), (10, 20))
    found = band_coverage(lower, wide, lower, SPACING)
    assert 0 < found.width_mm <= 3
    same = band_coverage(lower, lower, lower, SPACING)
    assert same.width_mm == 0 and same.width_thirds_mm == (0, 0, 0)
    taller = lower | box((18, 22), (10, 20), (10, 20))  # four slices more above the lower bound
    thirds = band_coverage(lower, taller, lower, SPACING).width_thirds_mm
    assert thirds[0] == thirds[1] == 0 and 4 < thirds[2] <= 12


def test_without_a_lower_bound_there_is_no_width():
    found = band_coverage(NOTHING, TRUTH, TRUTH, SPACING)
    assert np.isnan(found.width_mm) and np.isnan(found.width_thirds_mm).all()
    found = band_coverage(NOTHING, NOTHING, TRUTH, SPACING)
    assert found.outside == 1
    with pytest.raises(ValueError, match="empty"):
        band_coverage(TRUTH, TRUTH, NOTHING, SPACING)
