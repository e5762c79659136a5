"""The rasteriser that judges our files is itself judged, by other systems' contours and by scikit-image."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from skimage.draw import polygon2mask

from worker.contours import ring_area
from worker.errors import RoundTripFailed
from worker.round_trip import prove, rasterise
from worker.rtstruct import build_rtstruct

# Three established tools differ by up to 1.3 %; these are Eclipse's and SlicerRT's volumes, in cc.
ECLIPSE_CC = {
    "Bladder": (116.8, 116.78),
    "Femoral Head Lt": (49.2, 49.15),
    "Femoral Head RT": (50.0, 50.03),
    "PTV": (48.6, 48.61),
    "Rectum": (30.3, 30.41),
}


def rtstruct_of(rois, kind="CLOSED_PLANAR"):
    """A bare structure set: per name the contours (n, 3) in mm."""
    dataset = Dataset()
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(), Sequence()
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = Sequence()
        for points in contours:
            item = Dataset()
            item.ContourGeometricType = kind
            item.NumberOfContourPoints = len(points)
            item.ContourData = [f"{v:.10g}" for v in np.ravel(points)]
            drawn.ContourSequence.append(item)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    return dataset


def square(half, z=0.0, at=(0.0, 0.0)):
    x, y = at
    corners = [(-half, -half), (half, -half), (half, half), (-half, half)]
    return np.array([(x + a, y + b, z) for a, b in corners])


def test_eclipse_contours_have_the_volumes_that_eclipse_states(shared_data, draw, bare_series):
    path = shared_data / "eclipse-prostate" / "eclipse_prostate_contours_LPS.json.gz"
    rois = json.loads(gzip.decompress(path.read_bytes()))
    series = bare_series(
        draw.grid((512, 512, 92), (0.976562, 0.976562, 2.5), origin_mm=(-250.0, -250.0, -122.5))
    )
    wanted = {name: [np.array(c)[:-1] for c in rois[name]] for name in ECLIPSE_CC}
    masks = rasterise(rtstruct_of(wanted), series)
    for name, references in ECLIPSE_CC.items():
        volume_cc = masks[name].sum() * series.grid.voxel_mm3 / 1000
        assert volume_cc == pytest.approx(np.mean(references), rel=0.013), name


def test_random_polygons_are_filled_as_scikit_image_fills_them(draw, bare_series):
    series = bare_series(draw.grid((60, 50, 1), (1.0, 1.0, 3.0), origin_mm=(0.0, 0.0, 0.0)))
    random = np.random.default_rng(5)
    for _ in range(30):
        angle = np.sort(random.uniform(0, 2 * np.pi, 25))
        radius = random.uniform(3, 22, 25)
        x, y = 30.3 + radius * np.cos(angle), 25.2 + radius * np.sin(angle)
        points = np.stack([x, y, 0 * x], axis=1).round(3)
        mask = rasterise(rtstruct_of({"a": [points]}), series)["a"][0]
        other = polygon2mask((50, 60), points[:, [1, 0]])
        assert (mask == other).all()


def test_closed_planar_contours_add_and_exclusive_ones_cancel(draw, bare_series):
    series = bare_series(draw.grid((41, 41, 1)))
    contours = [square(10.5), square(4.5)]
    added = rasterise(rtstruct_of({"a": contours}), series)["a"]
    cancelled = rasterise(rtstruct_of({"a": contours}, "CLOSEDPLANAR_XOR"), series)["a"]
    assert added.sum() == 21 * 21
    assert cancelled.sum() == 21 * 21 - 9 * 9


def test_what_lies_outside_the_image_is_cut(draw, bare_series):
    series = bare_series(draw.grid((41, 41, 1)))
    masks = rasterise(
        rtstruct_of(
            {"half": [square(10.5, at=(20, 0))], "none": [square(5, at=(90, 0))], "all": [square(99)]}
        ),
        series,
    )
    assert masks["half"].sum() == 21 * 11
    assert not masks["none"].any()
    assert masks["all"].all()


def test_a_contour_off_its_slice_is_refused(draw, bare_series):
    series = bare_series(draw.grid((41, 41, 3)))
    with pytest.raises(RoundTripFailed, match="off instance"):
        rasterise(rtstruct_of({"a": [square(5, z=1.0)]}), series)


@pytest.mark.parametrize("name", ["mim_7.0.3_phantom", "pinnacle_9.6_dvh_cone"])
def test_real_structure_sets_of_others_have_the_area_of_their_polygons(shared_data, draw, bare_series, name):
    dataset = dcmread(shared_data / "rtstruct" / f"{name}.dcm", force=True)
    drawn = {int(roi.ReferencedROINumber): rings_of(roi) for roi in dataset.ROIContourSequence}
    points = np.concatenate([ring for rings in drawn.values() for ring in rings])
    heights = np.unique(points[:, 2])
    low, high = points.min(axis=0) - 2, points.max(axis=0) + 2
    size = np.ceil((high - low)[:2] / 0.5).astype(int)
    grid = draw.grid((*size.tolist(), len(heights)), (0.5, 0.5, 1.0), origin_mm=tuple(low))
    origins = np.column_stack([np.full(len(heights), low[0]), np.full(len(heights), low[1]), heights])
    series = replace(bare_series(grid), slice_positions_mm=origins)
    masks = rasterise(dataset, series)
    compared = 0
    for roi in dataset.StructureSetROISequence:
        rings = drawn.get(int(roi.ROINumber), [])
        area = sum(abs(ring_area(r[:, :2])) for r in rings)
        if len({r[0, 2] for r in rings}) == len(rings) and area > 500:
            compared += 1
            assert masks[str(roi.ROIName)].sum() * 0.25 == pytest.approx(area, rel=0.02)
    assert compared


def rings_of(roi):
    """An ROI's closed contours (n, 3)."""
    closed = [c for c in roi.get("ContourSequence", ()) if c.ContourGeometricType == "CLOSED_PLANAR"]
    return [np.reshape(c.ContourData, (-1, 3)).astype(float) for c in closed]


def shift_contours(dataset, shift_mm):
    for roi in dataset.ROIContourSequence[:1]:
        for contour in roi.ContourSequence:
            points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
            points[:, 0] += shift_mm
            contour.ContourData = [f"{v:.3f}" for v in points.ravel()]


def test_a_shift_of_half_a_millimetre_fails_the_proof(draw, result):
    dataset = build_rtstruct(result, identity=draw.identity)
    assert min(prove(dataset, result).values()) == 1.0
    shift_contours(dataset, 0.5)
    with pytest.raises(RoundTripFailed, match="CTVsb"):
        prove(dataset, result)


def test_a_contour_on_the_neighbouring_slice_fails_the_proof(draw, result):
    dataset = build_rtstruct(result, identity=draw.identity)
    contour = dataset.ROIContourSequence[0].ContourSequence[3]
    contour.ContourImageSequence[0].ReferencedSOPInstanceUID = result.series.sop_instance_uids[0]
    with pytest.raises(RoundTripFailed, match="off instance"):
        prove(dataset, result)


def test_a_lost_contour_fails_the_proof(draw, result):
    dataset = build_rtstruct(result, identity=draw.identity)
    del dataset.ROIContourSequence[0].ContourSequence[3]
    with pytest.raises(RoundTripFailed, match="DSC"):
        prove(dataset, result)


def test_swapped_bounds_fail_the_proof(draw, result):
    dataset = build_rtstruct(result, identity=draw.identity)
    first = dataset.StructureSetROISequence
    lower = next(r for r in first if r.ROIName == "zCTVsb^lo")
    upper = next(r for r in first if r.ROIName == "zCTVsb^hi")
    lower.ROIName, upper.ROIName = upper.ROIName, lower.ROIName
    with pytest.raises(RoundTripFailed):
        prove(dataset, result)


def test_an_roi_nobody_computed_fails_the_proof(draw, result):
    dataset = build_rtstruct(result, identity=draw.identity)
    dataset.StructureSetROISequence[0].ROIName = "Prostate"
    with pytest.raises(RoundTripFailed, match="Prostate"):
        prove(dataset, result)
