"""RTSTRUCTs of any maker are read for what they are: quirks of real files, real files, and an independent reader."""

import gzip
import json
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from worker.contours import PlanarContour, ring_area
from worker.ct_writer import write_ct_series
from worker.raster import fill
from worker.rtstruct import write_contours
from worker.rtstruct_dataset import Roi, StructureSetTexts, assemble
from worker.series import read_series
from worker.vendor_contours import NotStructureSet, parse_structure_set, read_structure_set
from worker.vendor_images import ImagePlane, ImageStack, read_images, stack_of
from worker.vendor_masks import read_rois
from worker.verify_subject import LaidRoi
from worker.verify_volumes import volume_cc

# Eclipse, CERR, SlicerRT, and the area of the polygons times 2.5 mm, in cc.
ECLIPSE_CC = {
    "BODY": (10593.0, 10698.0, 10667.2, 10697.2),
    "Bladder": (116.8, 117.67, 116.78, 117.49),
    "Femoral Head Lt": (49.2, 49.38, 49.15, 49.40),
    "Femoral Head RT": (50.0, 50.36, 50.03, 50.34),
    "PTV": (48.6, 49.21, 48.61, 49.18),
    "Rectum": (30.3, 30.66, 30.41, 30.72),
}
ANGLES = np.linspace(0, 2 * np.pi, 72, endpoint=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory, draw) -> SimpleNamespace:
    """A ball (A) and a tube with a keyhole (B) on a small CT. Shared: edit copies."""
    folder = tmp_path_factory.mktemp("small")
    grid = draw.grid((60, 56, 20), (1.1, 1.2, 3.0))
    write_ct_series(
        np.zeros(grid.shape_zyx, np.int16), grid, folder / "ct", patient=draw.patient, uid_seed="v"
    )
    series = read_series(folder / "ct")
    r = np.linalg.norm(draw.points(grid)[..., :2], axis=-1)
    tube = draw.sigmoid(np.abs(r - 16) - 6, 3.0) * (np.abs(np.arange(20) - 10) < 4)[:, None, None]
    fields = {"A": (draw.ball(grid, (0, 0, 0), 14), 0.5), "B": (tube, 0.5)}
    write_contours(series, fields, folder / "rs.dcm", identity=draw.identity)
    masks = {name: values >= level for name, (values, level) in fields.items()}
    return SimpleNamespace(folder=folder, series=series, stack=stack_of(series), masks=masks)


def read(small, edit=lambda dataset: None, **how) -> dict:
    dataset = dcmread(small.folder / "rs.dcm")
    edit(dataset)
    found = read_rois(parse_structure_set(dataset), small.stack, **how)
    return {roi.report.name: roi for roi in found}


def contours(dataset, number=1) -> Sequence:
    (drawn,) = [i for i in dataset.ROIContourSequence if int(i.ReferencedROINumber) == number]
    return drawn.ContourSequence


def rewrite(contour, points) -> None:
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{v:.4f}" for v in np.ravel(points)]


def points_of(contour) -> np.ndarray:
    return np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)


def same(raster, mask) -> bool:
    return bool((raster.within(mask.shape) == mask).all())


def test_what_we_wrote_is_read_exactly_keyhole_included(small):
    rois = read(small)
    assert set(rois) == {"A", "B"}
    for name, roi in rois.items():
        assert same(roi.raster, small.masks[name])
        assert roi.report.references == {"right": roi.report.used} and not roi.report.left_out
        assert (roi.report.off_slice, roi.report.miscounted, roi.report.nested) == (0, 0, 0)


def test_rois_are_joined_by_number_not_by_place(small):
    def edit(dataset):
        dataset.ROIContourSequence = list(dataset.ROIContourSequence)[::-1]
        extra = Dataset()
        extra.ROINumber, extra.ROIName = 9, "Empty"
        dataset.StructureSetROISequence.insert(0, extra)

    rois = read(small, edit)
    assert list(rois) == ["Empty", "A", "B"]
    assert rois["Empty"].report.empty and not rois["Empty"].raster.inside.any()
    assert same(rois["A"].raster, small.masks["A"]) and same(rois["B"].raster, small.masks["B"])


def test_contours_of_a_number_that_is_not_defined_are_kept_apart(small):
    rois = read(small, lambda dataset: dataset.StructureSetROISequence.pop(1))
    assert set(rois) == {"A", ""} and rois[""].report.number == 2


def test_without_any_image_reference_the_points_tell(small):
    def edit(dataset):
        for number in (1, 2):
            for contour in contours(dataset, number):
                del contour.ContourImageSequence

    rois = read(small, edit)
    assert same(rois["A"].raster, small.masks["A"])
    assert rois["A"].report.references == {"none": rois["A"].report.used}


def test_references_to_images_that_are_not_there_or_not_theirs(small):
    def edit(dataset):
        contours(dataset)[0].ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
        contours(dataset)[1].ContourImageSequence[0].ReferencedSOPInstanceUID = small.stack.planes[0].uid

    roi = read(small, edit)["A"]
    assert roi.report.references == {"unknown": 1, "wrong": 1, "right": roi.report.used - 2}
    assert same(roi.raster, small.masks["A"])


def test_points_and_open_lines_enclose_nothing(small):
    def edit(dataset):
        for contour, kind in zip(contours(dataset), ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"), strict=False):
            contour.ContourGeometricType = kind

    report = read(small, edit)["A"].report
    assert {k: n for k, n in report.kinds.items() if k != "CLOSED_PLANAR"} == {
        "POINT": 1,
        "OPEN_PLANAR": 1,
        "OPEN_NONPLANAR": 1,
    }
    assert report.used == report.kinds["CLOSED_PLANAR"]


def ring(radius, z, at=(0.0, 0.0)) -> np.ndarray:
    return np.stack(
        [at[0] + radius * np.cos(ANGLES), at[1] + radius * np.sin(ANGLES), 0 * ANGLES + z], axis=1
    )


def rings(dataset, radii, kind) -> None:
    """On the first slice that ROI 1 has, circles of these radii and nothing else."""
    items = contours(dataset)
    z = points_of(items[0])[0, 2]
    kept = [items[0], *(items[1 + i] for i in range(len(radii) - 1))]
    for item, radius in zip(kept, radii, strict=True):
        item.ContourGeometricType = kind
        item.ContourImageSequence = items[0].ContourImageSequence
        rewrite(item, ring(radius, z))
    del items[len(radii) :]


@pytest.mark.parametrize(
    ("kind", "how", "area"),
    [
        ("CLOSED_PLANAR", {}, 20**2),
        ("CLOSED_PLANAR", {"nested_as_holes": True}, 20**2 - 12**2 + 6**2),
        ("CLOSEDPLANAR_XOR", {}, 20**2 - 12**2 + 6**2),
    ],
)
def test_nested_rings_add_up_and_exclusive_ones_leave_holes_and_islands(small, kind, how, area):
    roi = read(small, lambda dataset: rings(dataset, (20, 12, 6), kind), **how)["A"]
    pixels = np.count_nonzero(roi.raster.inside) * 1.1 * 1.2
    assert pixels == pytest.approx(np.pi * area, rel=0.02)
    assert roi.report.nested == (kind == "CLOSED_PLANAR")


def test_several_contours_on_a_slice_are_one_area(small):
    def edit(dataset):
        rings(dataset, (8, 5), "CLOSED_PLANAR")
        z = points_of(contours(dataset)[0])[0, 2]
        rewrite(contours(dataset)[1], ring(5, z, at=(18, 0)))

    roi = read(small, edit)["A"]
    assert np.count_nonzero(roi.raster.inside) * 1.1 * 1.2 == pytest.approx(np.pi * (64 + 25), rel=0.05)
    assert roi.report.nested == 0


def test_contours_between_slices_go_to_the_nearest_and_are_reported(small):
    def edit(dataset):
        for contour in contours(dataset):
            rewrite(contour, points_of(contour) + (0, 0, 1.2))

    roi = read(small, edit)["A"]
    assert same(roi.raster, small.masks["A"])
    assert roi.report.off_slice == roi.report.used and roi.report.off_slice_mm == pytest.approx(1.2, abs=1e-3)
    assert read(small, edit, off_slice_mm=0.5)["A"].report.left_out == {"off-images": roi.report.used}


def test_contours_far_beyond_the_images_are_left_out(small):
    roi = read(small, lambda d: rewrite(contours(d)[0], points_of(contours(d)[0]) - (0, 0, 300)))["A"]
    assert roi.report.left_out == {"off-images": 1}


def test_contours_across_the_slices_are_left_out(small):
    def edit(dataset):
        x, y, _ = ring(10, 0).T
        rewrite(contours(dataset)[0], np.stack([x, 0 * x, y], axis=1))

    assert read(small, edit)["A"].report.left_out == {"not-parallel": 1}


def test_contours_on_oblique_images_are_read(shared_data):
    """Axes that are not the patient's: z is not constant in a contour, and pixels are not square."""
    (stack,) = read_images(shared_data / "ct-geometry" / "oblique_nonsquare_simpleitk_3slices").values()
    plane = stack.planes[1]
    index = (
        np.array(plane.shape[::-1]) / 2
        + (0.37, 0.21)
        + 0.3 * min(plane.shape) * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    )
    millimetres = (index * plane.spacing_mm) @ plane.axes[:, :2].T + plane.position_mm
    assert np.ptp(millimetres[:, 2]) > 0.1
    dataset = bare({"A": [millimetres]})
    (roi,) = read_rois(parse_structure_set(dataset), stack)
    assert roi.report.used == 1 and roi.report.off_slice == 0
    assert same(roi.raster, fill(index, 1, stack.shape_zyx).within(stack.shape_zyx))


def bare(rois) -> Dataset:
    dataset = Dataset()
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(), Sequence()
    for number, (name, loops) in enumerate(rois.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, drawn.ReferencedROINumber = number, name, number
        drawn.ContourSequence = Sequence()
        for points in loops:
            item = Dataset()
            item.ContourGeometricType = "CLOSED_PLANAR"
            rewrite(item, points)
            drawn.ContourSequence.append(item)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    return dataset


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "no-points"),
        (["1", "2", "3"] * 2, "few-points"),
        (["1", "2", "3", "4"], "not-triples"),
        (["1", "2", "nan"] * 4, "not-finite"),
        (["1e300", "2", "3"] * 4, "not-finite"),
    ],
)
def test_contours_that_cannot_be_used_are_counted_by_reason(small, data, reason):
    def edit(dataset):
        contours(dataset)[0].ContourData = data

    report = read(small, edit)["A"].report
    assert report.left_out == {reason: 1}


def test_text_in_place_of_numbers_costs_one_contour(small, tmp_path):
    path = tmp_path / "rs.dcm"
    content = (small.folder / "rs.dcm").read_bytes()
    first = (
        dcmread(small.folder / "rs.dcm")
        .ROIContourSequence[0]
        .ContourSequence[0]
        .get_item("ContourData")
        .value
    )
    path.write_bytes(content.replace(first, b"6f9619ff-8b86-d011" + first[18:], 1))
    rois = {r.report.name: r.report for r in read_rois(read_structure_set(path), small.stack)}
    assert rois["A"].left_out == {"not-numbers": 1} and not rois["B"].left_out


def test_counts_that_disagree_and_copies_are_reported(small):
    def edit(dataset):
        contours(dataset)[0].NumberOfContourPoints = 4
        contours(dataset).append(contours(dataset)[1])

    report = read(small, edit)["A"].report
    assert (report.miscounted, report.duplicates) == (1, 1)


def test_a_file_without_meta_information_or_in_explicit_vr_reads_the_same(small, tmp_path):
    dataset = dcmread(small.folder / "rs.dcm")
    plain, explicit = tmp_path / "plain.dcm", tmp_path / "explicit.dcm"
    dcmwrite(plain, dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
    plain.write_bytes(plain.read_bytes()[plain.read_bytes().index(b"\x08\x00\x05\x00") :])
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(explicit, dataset, implicit_vr=False, little_endian=True)
    for path in (plain, explicit):
        for roi in read_rois(read_structure_set(path), small.stack):
            assert same(roi.raster, small.masks[roi.report.name]), path.name


def test_two_frames_of_reference_or_none_are_told(small):
    def other(dataset):
        dataset.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.99"

    dataset = dcmread(small.folder / "rs.dcm")
    other(dataset)
    del dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
    assert [roi.frame_of_reference_uid for roi in parse_structure_set(dataset).rois] == ["", "1.2.99"]


def test_what_is_no_structure_set_is_refused(small, tmp_path):
    (tmp_path / "text.dcm").write_text("no DICOM at all, but a text of some length" * 9)
    for path in (tmp_path / "text.dcm", next((small.folder / "ct").iterdir())):
        with pytest.raises(NotStructureSet):
            read_structure_set(path)


def series_of_eclipse(draw, bare_series):
    header = Dataset()
    header.SOPClassUID = CTImageStorage
    grid = draw.grid((512, 512, 92), (0.976562, 0.976562, 2.5), origin_mm=(-250.0, -250.0, -122.5))
    return replace(bare_series(grid), headers=(header,) * 92)


def test_eclipse_contours_through_writer_and_reader_keep_their_volumes(
    shared_data, draw, bare_series, tmp_path
):
    """Pixels agree with CERR's, who counts pixels too; our ROI Volume is polygon area times slice distance."""
    path = shared_data / "eclipse-prostate" / "eclipse_prostate_contours_LPS.json.gz"
    loops = json.loads(gzip.decompress(path.read_bytes()))
    series = series_of_eclipse(draw, bare_series)
    rois = []
    for name in ECLIPSE_CC:
        planar = [
            PlanarContour(slice_index=round((loop[0][2] + 122.5) / 2.5), points_mm=np.round(loop[:-1], 3))
            for loop in loops[name]
        ]
        rois.append(Roi(name=name, description="", interpreted_type="", colour=(1, 2, 3), contours=planar))
    texts = StructureSetTexts(label="E", name="E", description="E", series_description="E")
    dcmwrite(
        tmp_path / "rs.dcm",
        assemble(series, rois, texts, draw.identity),
        enforce_file_format=True,
        implicit_vr=True,
        little_endian=True,
    )
    stack = stack_of(series)
    structure_set = read_structure_set(tmp_path / "rs.dcm")
    for vendor, roi in zip(structure_set.rois, read_rois(structure_set, stack), strict=True):
        *tools, polygons = ECLIPSE_CC[vendor.name]
        rasters = tuple(fill(each.points_px, each.plane, stack.shape_zyx) for each in roi.placed)
        laid = LaidRoi(roi=vendor, shown=(1, ""), placed=roi.placed, rasters=rasters)
        ours, stated = volume_cc(laid, stack), float(vendor.defined.ROIVolume)
        pixels = np.count_nonzero(roi.raster.inside) * series.grid.voxel_mm3 / 1000
        assert ours == pytest.approx(polygons, rel=5e-4) and stated == pytest.approx(polygons, rel=5e-4)
        for volume in (ours, stated, pixels):  # figures are rounded; the rectum's 40 slices weigh most
            assert min(tools) * 0.998 <= volume <= max(tools) * 1.0025, vendor.name
        assert pixels == pytest.approx(tools[1], rel=1e-3)
        assert roi.report.off_slice == 0 and not roi.report.left_out


@pytest.mark.parametrize(
    ("name", "empty"),
    [
        ("anon_breast_dicompyler", {"Areola"}),
        ("mim_7.0.3_phantom", set()),
        ("mim_7.0.3_invalid_reference", set()),
        ("mim_7.0.3_nonexistent_reference", set()),
        ("pinnacle_9.6_dvh_cone", {"POI_1"}),
        ("rtutils_generated", set()),
    ],
)
def test_real_files_have_the_area_of_their_polygons(shared_data, name, empty):
    structure_set = read_structure_set(shared_data / "rtstruct" / f"{name}.dcm")
    stack = stack_under(structure_set)
    compared = 0
    for roi in read_rois(structure_set, stack):
        report = roi.report
        assert report.empty == (report.name in empty)
        assert report.miscounted == 0 and report.off_slice == 0
        assert set(report.left_out) <= {"few-points"}
        assert set(report.references) <= {"right", "unknown"}
        area = sum(abs(ring_area(each.points_px)) for each in roi.placed)
        if len({each.plane for each in roi.placed}) == len(roi.placed) and area > 2000:
            compared += 1
            assert np.count_nonzero(roi.raster.inside) == pytest.approx(area, rel=0.02)
    assert compared or name in {"rtutils_generated", "mim_7.0.3_phantom"} or name.startswith("mim")


def stack_under(structure_set) -> ImageStack:
    """Images of 0.5 mm pixels on every plane that the contours lie on; along whichever axis these are stacked."""
    everything = [c for roi in structure_set.rois for c in roi.contours if len(c.points_mm)]
    points = np.concatenate([c.points_mm for c in everything])
    normal = int(np.argmin(np.median([np.ptp(c.points_mm, axis=0) for c in everything], axis=0)))
    along = [axis for axis in range(3) if axis != normal]
    axes = np.eye(3)[:, [*along, normal]]
    low = points.min(axis=0) - 2
    size = np.ceil((np.ptp(points, axis=0)[along] + 4) / 0.5).astype(int)
    names = {round(float(c.points_mm[0, normal]), 3): (*c.image_uids, "?")[0] for c in everything}
    planes = []
    for height, uid in sorted(names.items()):
        position = low.copy()
        position[normal] = height
        uids = {"SOPInstanceUID": uid, "SOPClassUID": "", "SeriesInstanceUID": "1"}
        shape = (int(size[1]), int(size[0]))
        planes.append(
            ImagePlane(
                uids=uids, identity={}, position_mm=position, axes=axes, spacing_mm=(0.5, 0.5), shape=shape
            )
        )
    return ImageStack(planes=tuple(planes))


@pytest.mark.skipif(shutil.which("plastimatch") is None, reason="plastimatch is not installed")
@pytest.mark.parametrize("how", ["keyhole", "nested", "nested --xor-contours", "islands"])
def test_plastimatch_reads_the_same(small, tmp_path, how):
    """It drops CLOSEDPLANAR_XOR, so exclusive contours are shown to it as CLOSED_PLANAR with --xor-contours."""
    import SimpleITK as sitk

    dataset = dcmread(small.folder / "rs.dcm")
    if how.startswith("nested"):
        rings(dataset, (20, 12, 6), "CLOSED_PLANAR")
    elif how == "islands":
        rings(dataset, (9, 5), "CLOSED_PLANAR")
        z = points_of(contours(dataset)[0])[0, 2]
        rewrite(contours(dataset)[1], ring(5, z, at=(18.0, 3.0)))
    dataset.save_as(tmp_path / "rs.dcm")
    option = ["--xor-contours"] if "xor" in how else []
    subprocess.run(
        ["plastimatch", "convert", "--input", tmp_path / "rs.dcm", "--referenced-ct", small.folder / "ct"]
        + ["--output-prefix", tmp_path / "masks", "--prefix-format", "nrrd", *option],
        check=True,
        capture_output=True,
    )
    rois = read_rois(parse_structure_set(dataset), small.stack, nested_as_holes=bool(option))
    for roi in rois:
        theirs = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "masks" / f"{roi.report.name}.nrrd"))) > 0
        )
        ours = roi.raster.within(theirs.shape)
        assert 2 * (theirs & ours).sum() / (theirs.sum() + ours.sum()) >= 0.999, roi.report.name
