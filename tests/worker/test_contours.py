"""Contours at sub-pixel precision that leave every pixel centre on its side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely.geometry import Polygon
from shapely.ops import unary_union

from worker.contours import LEVEL_SLACK, nested_contours, planar_contours, ring_area
from worker.errors import ResultImplausible

POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "HFP": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "FFS": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    "FFP": (1, 0, 0, 0, -1, 0, 0, 0, -1),
    "HFDL": (0, -1, 0, 1, 0, 0, 0, 0, 1),
}


def paint(contours, series):
    """Masks (z, y, x) of contours, by a plain test that shares nothing with the code under test."""
    mask = np.zeros(series.hu.shape, bool)
    for contour in contours:
        index = series.grid.to_index(contour.points_mm)[:, :2]
        mask[contour.slice_index] |= even_odd(index, mask.shape[1:])
    return mask


def even_odd(polygon, shape):
    """Plain crossing-number test of all pixel centres, one edge at a time."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        if y0 < y1:
            inside ^= (y >= y0) & (y < y1) & (x >= x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def wavy_field(shape, seed, smooth=2.0):
    """A smooth random field around 0.5 with islands, holes and islands in holes."""
    noise = np.random.default_rng(seed).normal(size=shape)
    field = ndimage.gaussian_filter(noise, (0, smooth, smooth))
    return np.clip(0.5 + field / (4 * field.std()), 0, 1).astype(np.float32)


def polygons(contours, slice_index):
    """All contours of a slice as one shape in mm; for contours without holes."""
    return unary_union([Polygon(c.points_mm[:, :2]) for c in contours if c.slice_index == slice_index])


def perimeter_points(contours):
    for contour in contours:
        ends = np.roll(contour.points_mm, -1, axis=0)
        for share in np.linspace(0, 1, 10, endpoint=False):
            yield contour.points_mm + share * (ends - contour.points_mm)


@pytest.mark.parametrize(("radius", "limit"), [(25, 0.003), (8, 0.01)])
@pytest.mark.parametrize("spacing", [(1.17, 1.17, 3.0), (0.98, 0.98, 2.0)])
def test_a_sphere_is_met_within_three_hundredths_of_a_millimetre(draw, bare_series, radius, limit, spacing):
    series = bare_series(draw.grid((73, 73, 27), spacing))
    contours = planar_contours(draw.ball(series.grid, (0, 0, 0), radius), 0.5, series, fill_holes=True)
    error = np.concatenate([np.linalg.norm(p, axis=1) - radius for p in perimeter_points(contours)])
    assert abs(error.mean()) <= 0.03
    assert np.abs(error).max() <= 0.12
    z = series.slice_positions_mm[:, 2]
    truth = np.pi * np.maximum(radius**2 - z**2, 0).sum() * spacing[2]
    volume = sum(abs(ring_area(c.points_mm)) for c in contours) * spacing[2]
    assert volume == pytest.approx(truth, rel=limit)


def test_simplification_at_least_thins_a_smooth_contour_by_a_quarter(draw, bare_series):
    series = bare_series(draw.grid((73, 73, 21), (0.98, 0.98, 2.0)))
    contours = planar_contours(draw.ball(series.grid, (0, 0, 0), 25), 0.5, series, fill_holes=True)
    middle = next(c for c in contours if c.slice_index == 10)
    crossings = 2 * 2 * 2 * 25 / 0.98
    assert len(middle.points_mm) < 0.75 * crossings


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), fill=st.booleans(), position=st.sampled_from(sorted(POSITIONS)))
def test_contours_painted_again_give_the_mask_exactly(draw, bare_series, seed, fill, position):
    series = bare_series(draw.grid((40, 30, 2), (0.9, 1.2, 3.0), direction=POSITIONS[position]))
    field = wavy_field(series.hu.shape, seed)
    painted = paint(planar_contours(field, 0.5, series, fill_holes=fill, min_area_px=0), series)
    mask = field > 0.5 - LEVEL_SLACK
    if not fill:
        assert (painted == mask).all()
    else:
        assert (painted >= mask).all()
        assert (painted <= np.stack([ndimage.binary_fill_holes(m) for m in mask])).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.integers(2, 12))
def test_values_that_lie_on_the_level_are_inside(draw, bare_series, seed, levels):
    series = bare_series(draw.grid((30, 30, 1), (0.7, 0.7, 3.0)))
    field = np.round(wavy_field(series.hu.shape, seed) * levels) / levels
    painted = paint(planar_contours(field, 0.5, series, fill_holes=False, min_area_px=0), series)
    assert (painted == (field >= 0.5)).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), gap=st.floats(0, 0.2))
def test_lower_mean_and_upper_stay_nested(draw, bare_series, seed, gap):
    series = bare_series(draw.grid((40, 40, 2)))
    mean = wavy_field(series.hu.shape, seed)
    below = gap * np.abs(wavy_field(series.hu.shape, seed + 1))
    fields = {"mean": mean, "lower": np.maximum(mean - below, 0), "upper": np.minimum(mean + below, 1)}
    drawn = nested_contours(fields, 0.5, series, fill_holes=bool(seed % 2))
    lower, middle, upper = (paint(drawn[n], series) for n in ("lower", "mean", "upper"))
    assert not (lower & ~middle).any()
    assert not (middle & ~upper).any()
    if seed % 2:
        for inner, outer in (("lower", "mean"), ("mean", "upper")):
            for index in range(len(mean)):
                within = polygons(drawn[outer], index).buffer(0.05)
                assert polygons(drawn[inner], index).difference(within).is_empty


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_contours_without_holes_are_simple_open_at_the_end_and_rounded(draw, bare_series, seed):
    series = bare_series(draw.grid((40, 40, 1)))
    for contour in planar_contours(wavy_field(series.hu.shape, seed), 0.5, series, fill_holes=True):
        points = contour.points_mm
        assert len(points) >= 4
        assert (points[0] != points[-1]).any()
        assert Polygon(points[:, :2]).is_valid
        assert (np.round(points, 3) == points).all()
        assert (points[:, 2] == np.round(series.slice_positions_mm[contour.slice_index, 2], 3)).all()


def ring_field(draw, grid, holes, outer=15):
    """A disc with round holes, as a probability (z, y, x)."""
    p = draw.points(grid)[..., :2]
    distance = np.linalg.norm(p, axis=-1) - outer
    for centre, radius in holes:
        distance = np.maximum(distance, radius - np.linalg.norm(p - np.asarray(centre), axis=-1))
    return draw.sigmoid(distance)


@pytest.mark.parametrize(
    "holes",
    [
        [((0, 0), 5)],
        [((-6, 0), 3), ((6, 0), 3)],
        [((-6, 0.5), 3), ((1, -0.3), 3), ((8, 0.1), 2)],
        [((0, -7), 3), ((0, 0), 2.5), ((0, 7), 3)],
        [((7, 0), 1.5), ((0, 7), 1.5), ((-7, 0), 1.5), ((0, -7), 1.5), ((0, 0), 4)],
    ],
)
def test_holes_become_keyholes_with_bit_identical_channels(draw, bare_series, holes):
    series = bare_series(draw.grid((50, 50, 1), (0.8, 0.8, 3.0)))
    field = ring_field(draw, series.grid, holes)
    (contour,) = planar_contours(field, 0.5, series, fill_holes=False)
    assert (paint([contour], series) == (field >= 0.5)).all()
    twice = len(contour.points_mm) - len(np.unique(contour.points_mm, axis=0))
    assert twice == 2 * len(holes)
    rows = series.grid.to_index(contour.points_mm)[:, 1]
    steps = contour.points_mm - np.roll(contour.points_mm, -1, axis=0)
    channels = np.flatnonzero((steps[:, 1] == 0) & (np.abs(steps[:, 0]) > 1))
    assert all(abs(rows[c] - np.rint(rows[c])) > 0.01 for c in channels)
    (filled,) = planar_contours(field, 0.5, series, fill_holes=True)
    assert ring_area(filled.points_mm) == pytest.approx(np.pi * 225, rel=0.01)


def test_an_island_in_a_hole_is_a_contour_of_its_own(draw, bare_series):
    series = bare_series(draw.grid((50, 50, 1), (0.8, 0.8, 3.0)))
    ring = ring_field(draw, series.grid, [((0, 0), 9)])
    field = np.maximum(ring, ring_field(draw, series.grid, [], outer=4))
    contours = planar_contours(field, 0.5, series, fill_holes=False)
    assert len(contours) == 2
    assert (paint(contours, series) == (field >= 0.5)).all()


def test_a_structure_at_the_images_edge_is_closed(draw, bare_series):
    series = bare_series(draw.grid((20, 20, 1)))
    (contour,) = planar_contours(np.ones(series.hu.shape, np.float32), 0.5, series, fill_holes=False)
    assert paint([contour], series).all()


def test_fragments_are_dropped_unless_nothing_else_is_left(draw, bare_series):
    series = bare_series(draw.grid((30, 30, 2)))
    field = np.zeros(series.hu.shape, np.float32)
    field[0, 3, 3:5] = 1
    assert len(planar_contours(field, 0.5, series, fill_holes=False)) == 1
    field[1, 10:20, 10:20] = 1
    (contour,) = planar_contours(field, 0.5, series, fill_holes=False)
    assert contour.slice_index == 1


def test_a_bound_of_mere_fragments_is_left_out_beside_a_solid_mean(draw, bare_series):
    series = bare_series(draw.grid((30, 30, 1)))
    mean = np.zeros(series.hu.shape, np.float32)
    mean[0, 10:20, 10:20] = 1
    lower = np.zeros_like(mean)
    lower[0, 12, 12] = 1
    drawn = nested_contours({"mean": mean, "lower": lower, "upper": mean}, 0.5, series, fill_holes=True)
    assert [len(drawn[n]) for n in ("lower", "mean", "upper")] == [0, 1, 1]
    drawn = nested_contours({"mean": lower, "lower": lower, "upper": mean}, 0.5, series, fill_holes=True)
    assert [len(drawn[n]) for n in ("lower", "mean", "upper")] == [1, 1, 1]


def test_an_empty_field_has_no_contours_and_nan_is_refused(draw, bare_series):
    series = bare_series(draw.grid((20, 20, 2)))
    field = np.zeros(series.hu.shape, np.float32)
    assert planar_contours(field, 0.5, series, fill_holes=True) == []
    field[1, 5, 5] = np.nan
    with pytest.raises(ResultImplausible):
        planar_contours(field, 0.5, series, fill_holes=True)


def test_a_very_long_contour_is_thinned_until_it_can_be_encoded_or_refused(draw, bare_series):
    series = bare_series(draw.grid((512, 512, 1), (1.0, 1.0, 3.0)))
    y, x = np.mgrid[:512, :512] - 255.5
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    wavy = draw.sigmoid(radius - 225 - 12 * np.sin(60 * angle), 2.0)[np.newaxis]
    (contour,) = planar_contours(wavy, 0.5, series, fill_holes=True)
    assert 1000 < len(contour.points_mm) <= 2180
    assert (paint([contour], series) == (wavy >= 0.5)).all()
    comb = np.zeros((1, 512, 512), np.float32)
    comb[0, 2:510:4, 4:500] = 1
    comb[0, 3:510:4, 4:500] = np.random.default_rng(0).random((127, 496)) > 0.5
    comb[0, 2:510, 4] = 1
    with pytest.raises(ResultImplausible, match="too long"):
        planar_contours(comb, 0.5, series, fill_holes=True)


@pytest.mark.parametrize("position", POSITIONS)
def test_points_lie_where_the_patient_has_them_in_every_position(draw, bare_series, position):
    series = bare_series(draw.grid((60, 50, 20), (1.2, 0.9, 2.5), direction=POSITIONS[position]))
    centre = np.array([6.0, -4.0, 3.0])
    contours = planar_contours(draw.ball(series.grid, centre, 12), 0.5, series, fill_holes=True)
    points = np.concatenate([c.points_mm for c in contours])
    assert np.linalg.norm(points - centre, axis=1) == pytest.approx(12, abs=0.06)
