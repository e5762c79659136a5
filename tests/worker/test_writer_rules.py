"""Requirements on written RTSTRUCTs (W numbers) that `test_rtstruct.py` has not, and two viewers' loading rules."""

import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from worker.contours import MAX_POINTS, PlanarContour, planar_contours, ring_area
from worker.errors import MissingAttribute, MixedSeries, Rejected, ResultImplausible
from worker.keyhole import cut_keyhole
from worker.polygon_checks import has_loose_keyhole
from worker.roi_naming import RoiNaming, RoiStyle
from worker.rtstruct import build_rtstruct
from worker.rtstruct_dataset import Roi, StructureSetTexts, assemble
from worker.series import read_series

TEXTS = StructureSetTexts(label="L", name="N", description="D", series_description="S")


@pytest.fixture(scope="module")
def series(draw, bare_series):
    """A series with headers enough for a structure set, without files."""
    header = Dataset()
    header.SOPClassUID = CTImageStorage
    grid = draw.grid((64, 60, 24), (1.0, 1.1, 2.5))
    return replace(bare_series(grid), headers=(header,) * 24)


def one(series, points, draw) -> Dataset:
    """A structure set of one contour; returns its item of Contour Sequence."""
    contour = PlanarContour(slice_index=3, points_mm=np.asarray(points, float))
    roi = Roi(name="A", description="", interpreted_type="ORGAN", colour=(1, 2, 3), contours=[contour])
    return assemble(series, [roi], TEXTS, draw.identity).ROIContourSequence[0].ContourSequence[0]


def closed_contours(dataset):
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            yield contour, np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)


def test_w02_the_longest_contour_that_is_written_fits_explicit_vr(series, draw):
    corner = np.full((MAX_POINTS, 3), -1234.567)
    assert len(one(series, corner, draw).get_item("ContourData").value) <= 65534
    with pytest.raises(ResultImplausible, match="too long"):
        one(series, np.full((4000, 3), -1234.567), draw)


@settings(max_examples=60, deadline=None)
@given(numbers=st.lists(st.floats(-9999.9, 9999.9), min_size=9, max_size=9))
def test_w03_numbers_are_short_plain_and_within_half_a_micrometre(series, draw, numbers):
    points = np.round(np.reshape(numbers, (3, 3)), 3) + 0.0
    data = one(series, points, draw).get_item("ContourData").value
    assert len(data) % 2 == 0
    texts = data.decode("ascii").rstrip(" ").split("\\")
    for text, number in zip(texts, points.ravel(), strict=True):
        assert len(text) <= 16 and "e" not in text and text not in {"-0", "nan", "inf"}
        assert len(text.partition(".")[2]) <= 3
        assert float(text) == pytest.approx(number, abs=5e-4)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e5])
def test_w03_what_is_no_coordinate_is_refused(series, draw, number):
    points = np.zeros((4, 3))
    points[1, 1] = number
    with pytest.raises(ResultImplausible):
        one(series, points, draw)


def test_w04_every_contour_lies_in_its_own_slices_plane_whatever_the_spacing(series, draw):
    """Slices 3 and 5 mm apart: each has its own position, a mean spacing would be millimetres off."""
    positions = series.slice_positions_mm.copy()
    positions[12:, 2] += 2.0 * np.arange(12)
    uneven = replace(series, slice_positions_mm=positions)
    for contour in planar_contours(draw.ball(series.grid, (0, 0, 0), 15), 0.5, uneven, fill_holes=False):
        assert (contour.points_mm[:, 2] == np.round(positions[contour.slice_index, 2], 3)).all()


def test_w05_a_tilted_gantry_never_becomes_contours_off_their_slices(make_ct, draw):
    """Refused in words, unless each slice's own position and orientation are honoured."""
    folder = make_ct(grid=draw.grid((24, 20, 22)))
    for path in folder.iterdir():
        dataset = dcmread(path)
        x, y, z = (float(v) for v in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y + z * np.tan(np.deg2rad(10)), z]
        dataset.save_as(path)
    try:
        tilted = read_series(folder)
    except Rejected as reason:
        assert "tilt" in str(reason).lower()
        return
    for contour in planar_contours(draw.ball(tilted.grid, (0, 0, 0), 8), 0.5, tilted, fill_holes=False):
        position = tilted.slice_positions_mm[contour.slice_index]
        assert np.abs((contour.points_mm - position) @ tilted.grid.direction[2::3]).max() < 0.001


@pytest.mark.parametrize(("radius", "limit"), [(25.0, 0.003), (8.0, 0.01)])
def test_w06_spheres_keep_their_volume_and_radius(draw, bare_series, radius, limit):
    size = (*[int(2 * radius / 1.17) + 8] * 2, 2 * int(radius / 3) + 7)
    sphere = bare_series(draw.grid(size, (1.17, 1.17, 3.0)))
    contours = planar_contours(draw.ball(sphere.grid, (0, 0, 0), radius), 0.5, sphere, fill_holes=False)
    volume = sum(abs(ring_area(c.points_mm[:, :2])) for c in contours) * 3.0
    slices = 3.0 * sum(np.pi * max(radius**2 - z**2, 0) for z in sphere.slice_positions_mm[:, 2])
    assert volume == pytest.approx(slices, rel=limit)
    away = [
        np.linalg.norm(c.points_mm, axis=1) - radius for c in contours if abs(c.points_mm[0, 2]) < radius / 2
    ]
    assert abs(np.concatenate(away).mean()) <= 0.03


def test_w08_contours_are_simple_have_three_points_and_are_never_there_twice(written):
    for contour, points in closed_contours(dcmread(written)):
        assert len(points) == contour.NumberOfContourPoints >= 3
        assert (points[0] != points[-1]).any()
        polygon = shapely.Polygon(points[:, :2])
        assert polygon.is_valid and polygon.area > 0
    for roi in dcmread(written).ROIContourSequence:
        seen = [c.get_item("ContourData").value for c in roi.ContourSequence]
        assert len(set(seen)) == len(seen)


def test_w09_a_keyholes_walls_are_the_same_points(draw):
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = cut_keyhole(20 * circle, [8 * circle[::-1], 3 * circle[::-1] + (13, 2)])
    assert not has_loose_keyhole(points)
    twice = len(points) - len(np.unique(points, axis=0))
    assert twice >= 4  # two channels of two points each


def test_w10_nothing_but_closed_planar_is_written(written):
    assert {c.ContourGeometricType for c, _ in closed_contours(dcmread(written))} == {"CLOSED_PLANAR"}


def test_w12_a_ct_without_a_frame_of_reference_is_refused(make_ct):
    with pytest.raises(MissingAttribute, match="FrameOfReferenceUID"):
        read_series(make_ct(FrameOfReferenceUID=None))


NAMES = st.text(st.sampled_from("abAB_^ zé9"), min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(names=st.tuples(NAMES, NAMES), stems=st.tuples(NAMES, NAMES), qualifier=st.sampled_from("^_~ü"))
def test_w16_names_are_short_ascii_and_unique_whatever_the_case_or_refused(names, stems, qualifier):
    styles = {
        key: RoiStyle(
            name=name, stem=stem, interpreted_type="ORGAN", colour=(1, 2, 3), fill_holes=True, qualified=True
        )
        for key, name, stem in zip(("Bladder", "Rectum"), names, stems, strict=True)
    }
    try:
        naming = RoiNaming(styles=styles, qualifier=qualifier)
    except ValueError:
        return
    for percent in (95, None):
        written = [name for key in styles for name in naming.names(key, percent=percent).values()]
        assert len(written) == 6 == len({name.casefold() for name in written})
        assert all(len(name) <= 16 and name.isascii() and name == name.strip() for name in written)


def test_w18_numbers_are_plain_integers_from_one(written):
    dataset = dcmread(written)
    for sequence, keyword in (
        ("StructureSetROISequence", "ROINumber"),
        ("ROIContourSequence", "ReferencedROINumber"),
        ("RTROIObservationsSequence", "ReferencedROINumber"),
    ):
        raw = [item.get_item(keyword).value for item in dataset[sequence].value]
        texts = [value.decode().strip() if isinstance(value, bytes) else str(value) for value in raw]
        assert texts == [str(n) for n in range(1, 19)]


def test_w23_points_are_thinned_but_never_by_more_than_a_twentieth_of_a_millimetre(series, draw, monkeypatch):
    ball = draw.ball(series.grid, (0, 0, 0), 20)
    thinned = planar_contours(ball, 0.5, series, fill_holes=False)
    monkeypatch.setattr("worker.contours.SIMPLIFY_MM", 0.0)
    traced = planar_contours(ball, 0.5, series, fill_holes=False)
    assert sum(len(c.points_mm) for c in thinned) < 0.75 * sum(len(c.points_mm) for c in traced)
    for few, all_ in zip(thinned, traced, strict=True):
        assert len(few.points_mm) <= 1000
        lines = [shapely.LinearRing(contour.points_mm[:, :2]) for contour in (few, all_)]
        assert shapely.hausdorff_distance(*lines, densify=0.2) <= 0.05


def test_w24_two_series_in_a_folder_are_refused_not_mixed(make_ct, draw):
    folder = make_ct(grid=draw.grid((24, 20, 22)))
    other = make_ct(grid=draw.grid((24, 20, 22)), name="other", seed="other")
    for path in other.iterdir():
        (folder / f"other-{path.name}").write_bytes(path.read_bytes())
    with pytest.raises(MixedSeries):
        read_series(folder)


def test_w25_no_part_of_opencv_is_loaded_by_reading_and_verifying():
    code = "import sys, worker.verify, worker.rtstruct; assert not [m for m in sys.modules if m.startswith('cv2')]"
    subprocess.run([sys.executable, "-c", code], check=True)


def loads_in_ohif(dataset) -> list[dict]:
    """What OHIF makes of it, by the rules of its loadRTStruct.js and getSopClassHandlerModule.ts."""
    frames = dataset.ReferencedFrameOfReferenceSequence
    series = frames[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    if not series.ContourImageSequence or not series.SeriesInstanceUID:
        raise ValueError("refused: no referenced images")
    loaded = []
    for drawn in dataset.ROIContourSequence:
        (defined,) = [d for d in dataset.StructureSetROISequence if d.ROINumber == drawn.ReferencedROINumber]
        kept = [
            c
            for c in drawn.get("ContourSequence", ())
            if c.ContourGeometricType in {"CLOSED_PLANAR", "OPEN_PLANAR", "POINT"}
        ]
        (observed,) = [
            o for o in dataset.RTROIObservationsSequence if o.ReferencedROINumber == drawn.ReferencedROINumber
        ]
        loaded.append(
            {
                "name": defined.ROIName,
                "description": defined.ROIDescription,
                "algorithm": defined.ROIGenerationAlgorithm,
                "type": observed.RTROIInterpretedType,
                "colour": [int(c) for c in drawn.ROIDisplayColor],
                "contours": len(kept),
                "left": len(drawn.ContourSequence) - len(kept),
            }
        )
    return loaded


def loads_in_slicer(dataset, instances) -> dict[str, int]:
    """Contours that vtkSlicerDicomRtReader takes, by ROI; what it would complain of raises."""
    taken = {}
    for drawn in dataset.ROIContourSequence:
        (defined,) = [d for d in dataset.StructureSetROISequence if d.ROINumber == drawn.ReferencedROINumber]
        if not drawn.get("ContourSequence"):
            raise ValueError("an ROI with an empty Contour Sequence")
        for contour in drawn.ContourSequence:
            if 3 * int(contour.NumberOfContourPoints) != len(contour.ContourData):
                raise ValueError("contour skipped: its points are not as many as it says")
            if contour.ContourImageSequence[0].ReferencedSOPInstanceUID not in instances:
                raise ValueError("refers to an image that is not there")
        taken[str(defined.ROIName)] = len(drawn.ContourSequence)
    return taken


def test_ohif_loads_every_roi_and_every_contour(written):
    dataset = dcmread(written)
    loaded = loads_in_ohif(dataset)
    assert len(loaded) == len(dataset.StructureSetROISequence) == 18
    for roi in loaded:
        assert roi["name"] and roi["description"] and roi["algorithm"] == "AUTOMATIC" and roi["type"]
        assert roi["contours"] > 0 and roi["left"] == 0 and len(roi["colour"]) == 3
    assert dataset.SeriesDescription and dataset.Modality == "RTSTRUCT"
    broken = deepcopy(dataset)
    del broken.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    with pytest.raises(AttributeError):
        loads_in_ohif(broken)


def test_slicer_takes_every_contour_and_has_nothing_to_complain_of(written, result):
    dataset = dcmread(written)
    taken = loads_in_slicer(dataset, set(result.series.sop_instance_uids))
    assert sum(taken.values()) == sum(1 for _ in closed_contours(dataset))
    assert len(taken) == 18


def test_slicer_undoes_our_keyholes(draw, series):
    """Channel walls within 0.001 mm, their ends more than three points apart (FixKeyholes)."""
    ctv = draw.structure("CTV", series.grid, (0, 0, 0), 18)
    ring = replace(ctv, mean=np.minimum(ctv.mean, 1 - draw.ball(series.grid, (1, 2, 0), 7)))
    ring = replace(ring, lower=np.minimum(ring.lower, ring.mean))
    dataset = build_rtstruct(draw.result(series, structures=(ring,)), identity=draw.identity)
    with_hole = 0
    for _, points in closed_contours(dataset):
        assert not has_loose_keyhole(points[:, :2])
        doubled = [np.flatnonzero((points == p).all(axis=1)) for p in points]
        ends = [d for d in doubled if len(d) == 2]
        with_hole += bool(ends)
        assert all(min(b - a, len(points) - b + a) > 3 for a, b in ends)
    assert with_hole
