"""The review: contours where the structures are, bands and places that say what lies there, slices bit for bit."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

from worker.figures import figures_of
from worker.raster import fill
from worker.result_file import done_document
from worker.review import review_of
from worker.review_document import read_review, write_review
from worker.rtstruct import WrittenRtstruct
from worker.slice_pack import read_slice, write_slices

WRITTEN = WrittenRtstruct(
    roi_names={"CTV": {"mean": "CTVsb^AI", "lower": "zCTVsb^lo"}},
    dsc={"CTVsb^AI": 0.9995, "zCTVsb^lo": 0.9991},
)


@pytest.fixture(scope="module")
def review(result):
    return review_of(result, figures_of(result), WRITTEN)


def named(review, name):
    return next(s for s in review.structures if s.name == name)


def mask_of(rings, series):
    mask = np.zeros(series.hu.shape, bool)
    for ring in rings:
        raster = fill(np.reshape(ring.points_px, (-1, 2)), ring.slice_index, mask.shape)
        mask |= raster.within(mask.shape)
    return mask


def test_the_rings_enclose_the_pixels_that_the_fields_reach(review, result):
    for s in result.structures:
        shown = named(review, s.name)
        for bound in ("mean", "lower", "upper"):
            drawn = mask_of(shown.contours[bound], result.series)
            wanted = getattr(s, bound) >= s.level
            assert (drawn != wanted).sum() <= 0.001 * wanted.sum(), (s.name, bound)


def test_the_figures_are_those_of_result_json(review, result):
    document = done_document(result, figures_of(result), WRITTEN)
    assert review.bounds == document["bounds"] and review.not_for_clinical_use
    for told in document["structures"]:
        shown = named(review, told["name"])
        assert (shown.volume_cc, shown.quality) == (told["volume_cc"], told["quality"])
        assert (shown.band.mean_mm, shown.band.p95_mm) == (told["band_mm"]["mean"], told["band_mm"]["p95"])
        widest = told["look_here"][0]["band_mm"]
        assert max(w for w in shown.band_by_slice_mm if w is not None) == widest
    assert named(review, "CTV").round_trip == {"mean": 0.9995, "lower": 0.9991}


def test_the_band_of_a_ball_with_bounds_2_mm_either_side_is_4_mm_wide(review):
    """Spheres of 13 and 17 mm: between 3 mm slices a surface is only known to half a slice."""
    ctv = named(review, "CTV")
    assert ctv.band.mean_mm == pytest.approx(4, abs=0.5)
    assert [t.part for t in ctv.thirds] == ["inferior", "middle", "superior"]
    assert all(t.mean_mm == pytest.approx(4, abs=1.0) for t in ctv.thirds)
    assert ctv.thirds[0].to_z_mm == ctv.thirds[1].from_z_mm
    at_upper = [w for ring in ctv.contours["upper"] for w in ring.width_mm]
    assert np.mean(at_upper) == pytest.approx(4, abs=0.7)


def test_places_name_ends_neighbours_and_sides_where_they_are(draw, result):
    """A CTV whose upper bound goes 9 mm further down, and whose front towards the bladder is wide."""
    grid = result.series.grid
    ctv, bladder, *others = result.structures
    points = draw.points(grid)
    z, y = points[..., 2], points[..., 1]
    lower, mean, upper = (draw.ball(grid, (0, 0, 0), r) for r in (12, 14, 16))
    hanging = draw.sigmoid(np.maximum(np.hypot(points[..., 0], y) - 6, np.maximum(z, -24 - z)))
    upper = np.maximum(upper, hanging)
    front = np.where((y < -4) & (abs(z) < 6), draw.ball(grid, (0, -8, 0), 14), 0)
    upper = np.maximum(upper, front).astype(np.float32)
    bladder = draw.structure("Bladder", grid, (0, -28, 2), 10)
    ctv = replace(ctv, lower=lower, mean=np.maximum(mean, lower), upper=np.maximum(upper, mean))
    changed = replace(result, structures=(ctv, bladder, *others))
    places = review_of(changed, figures_of(changed), WRITTEN).look_here
    by_key = {place.key: place for place in places}

    end = by_key["CTV-inferior-end"]
    assert end.point_mm[2] < -10 and end.band_mm >= 10
    assert end.reason == f"inferior end: band {end.band_mm:.0f} mm"
    interface = next(p for p in places if p.code == "interface" and "CTV" in (p.structure, p.neighbour))
    assert {interface.structure, interface.neighbour} == {"CTV", "Bladder"}
    assert "interface with the" in interface.reason
    assert interface.point_mm[1] < -10 and abs(interface.point_mm[2]) < 8
    assert places[0].structure == "CTV"


def test_places_are_few_and_ranked(review):
    widths = [place.band_mm for place in review.look_here]
    assert 1 <= len(widths) <= 8
    assert len({place.key for place in review.look_here}) == len(widths)
    assert widths == sorted(widths, reverse=True) or review.look_here[-1].structure == "CTV"


def test_a_structure_without_a_lower_bound_comes_first(result):
    rectum = result.structures[2]
    unsure = replace(rectum, lower=np.zeros_like(rectum.lower))
    changed = replace(result, structures=(*result.structures[:2], unsure, *result.structures[3:]))
    review = review_of(changed, figures_of(changed), WRITTEN)
    assert review.look_here[0].key == "Rectum-no-lower-bound" and review.look_here[0].band_mm is None
    assert named(review, "Rectum").band.mean_mm is None and named(review, "Rectum").thirds == []
    assert set(named(review, "Rectum").band_by_slice_mm) == {None}


def test_the_place_is_on_its_slice(review, result):
    for place in review.look_here:
        back = result.series.grid.to_index(place.point_mm)
        assert back == pytest.approx([*place.point_px, place.slice_index], abs=0.02)
        assert result.series.sop_instance_uids[place.slice_index] == place.sop_instance_uid


def test_the_guideline_is_checked(review):
    assert [check.code for check in review.guideline] == [f"G{n}" for n in range(1, 9)]


def test_what_is_written_is_read_and_names_nobody(review, result, tmp_path):
    write_review(review, tmp_path)
    assert read_review(tmp_path) == review
    text = (tmp_path / "review.json").read_text()
    patient = result.series.headers[0]
    assert "Quasimodo" not in text and "PEN-0001" not in text and patient is not None


def test_slices_come_back_bit_for_bit_one_by_one(tmp_path):
    hu = np.random.default_rng(3).integers(-1024, 32767, (5, 7, 9)).astype(np.int16)
    write_slices(hu, tmp_path / "slices.bin")
    for index in (4, 0, 2):
        found = read_slice(tmp_path / "slices.bin", index)
        numbers = np.frombuffer(gzip.decompress(found.gzipped), "<i2").reshape(found.rows, found.columns)
        assert (numbers == hu[index]).all()
    assert read_slice(tmp_path / "slices.bin", 5) is None


def test_a_cut_off_pack_is_refused(tmp_path):
    path = tmp_path / "slices.bin"
    write_slices(np.zeros((3, 4, 4), np.int16), path)
    path.write_bytes(path.read_bytes()[:-3])
    assert read_slice(path, 0) is not None
    with pytest.raises(ValueError, match="cut off"):
        read_slice(path, 2)
