"""The quirks of real files, each with the test that shows it; those that no other file tests are tested here."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, JPEG2000Lossless, SecondaryCaptureImageStorage

from worker.ct_writer import write_ct_series
from worker.errors import UnreadableInstance
from worker.job_folder import JobRequest
from worker.round_trip import rasterise
from worker.rtstruct import write_contours
from worker.run_job import run
from worker.series import read_series
from worker.vendor_contours import parse_structure_set, read_structure_set
from worker.vendor_images import read_images, stack_of
from worker.vendor_masks import read_rois
from worker.verify import verify

CORPUS, VENDOR, VERIFY = "test_corpus.py", "test_vendor_contours.py", "test_verify.py"
SERIES, GUARD, DECODE, HERE = "test_series.py", "test_guard.py", "test_decode.py", "test_quirks.py"
# Quirk: the file, and in it the test or the variant (of CORPUS, VERIFY) that shows it.
SHOWN_BY = {
    "no ContourImageSequence": (VENDOR, "test_without_any_image_reference_the_points_tell"),
    "ROIs without contours": (VENDOR, "test_rois_are_joined_by_number_not_by_place"),
    "ROIs without contours, real": (VENDOR, "test_real_files_have_the_area_of_their_polygons"),
    "points and open lines": (VENDOR, "test_points_and_open_lines_enclose_nothing"),
    "contours not at constant z": (VENDOR, "test_contours_on_oblique_images_are_read"),
    "two frames of reference or none": (VENDOR, "test_two_frames_of_reference_or_none_are_told"),
    "two frames of reference, verified": (VERIFY, "several-frames"),
    "no frame of reference, verified": (VERIFY, "no-frame"),
    "no file meta, explicit VR": (
        VENDOR,
        "test_a_file_without_meta_information_or_in_explicit_vr_reads_the_same",
    ),
    "3 points, 1,300 points": (
        HERE,
        "test_contours_of_three_points_and_of_very_many_enclose_what_they_draw",
    ),
    "several contours on a slice": (VENDOR, "test_several_contours_on_a_slice_are_one_area"),
    "no interpreted type": (VERIFY, "type-missing"),
    "images that do not exist": (VENDOR, "test_references_to_images_that_are_not_there_or_not_theirs"),
    "UUID text in DA and CS": (
        HERE,
        "test_uuid_text_in_dates_and_codes_of_an_rtstruct_is_told_and_costs_no_contour",
    ),
    "UUID text in DA and CS, CT": (HERE, "test_uuid_text_in_dates_and_codes_of_a_ct_does_not_stop_it"),
    "REJECTED, verified": (VERIFY, "rejected"),
    "REJECTED, prepared": ("test_prepare.py", "test_what_cannot_be_trusted_is_left_out"),
    "slope 32.12, 2.0002": (HERE, "test_a_rescale_that_is_not_one_and_minus_1024_is_believed"),
    "slope 2.0002, contoured": (CORPUS, "slope 2.0002, intercept -4047"),
    "padding -2000": (CORPUS, "padding below all CT numbers"),
    "1024 added": (GUARD, "test_ct_numbers_shifted_by_1024_are_refused"),
    "scientific notation": (HERE, "test_numbers_in_scientific_notation_with_leading_zeros_are_read"),
    "scientific notation, contoured": (CORPUS, "rescale in scientific notation"),
    "mirrored": (GUARD, "test_a_mirrored_pelvis_is_doubted_however_the_patient_lies"),
    "InstanceNumber and others missing": (CORPUS, "optional attributes missing"),
    "tilt": (SERIES, "test_real_series_of_bad_geometry_are_refused_for_it"),
    "4 mm, then 7 mm": (CORPUS, "4 mm, then 7 mm"),
    "overlapping slices": (
        HERE,
        "test_slices_thicker_than_their_distance_lie_where_their_positions_say",
    ),
    "one position": (SERIES, "test_real_series_of_bad_geometry_are_refused_for_it"),
    "localiser": (CORPUS, "localiser"),
    "dose screens, reformats": (
        HERE,
        "test_a_dose_screen_or_a_reformat_in_the_series_of_modality_ct_is_set_aside_and_named",
    ),
    "3D renderings": (HERE, "test_a_colour_rendering_that_claims_to_be_a_ct_image_is_refused_by_name"),
    "JPEG 2000 without class and patient": (
        HERE,
        "test_jpeg_2000_without_class_and_patient_in_the_data_set_is_read_by_its_meta_information",
    ),
    "feet first": (CORPUS, "feet first supine"),
    "one hash in every encoding": (
        DECODE,
        "test_real_files_of_all_lossless_encodings_hold_the_same_pixels",
    ),
    "JPEG .53 and .55": (
        SERIES,
        "test_encodings_with_loss_are_refused_by_name_and_the_others_are_read",
    ),
    "loss accepted": (HERE, "test_the_switch_of_the_environment_lets_images_with_loss_pass"),
    "enhanced multi-frame": (SERIES, "test_enhanced_ct_is_refused"),
    "no DICOM": ("test_real_files.py", "test_every_test_file_of_pydicom_is_read_or_refused_in_words"),
}
UUID_TEXT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
CENTRE, RADIUS = (1.0, -2.0, 3.0), 13.0


def change(folder, edit):
    """Edit every instance of a folder."""
    for n, path in enumerate(sorted(folder.iterdir())):
        dataset = dcmread(path)
        edit(dataset, n)
        dataset.save_as(path)


def contoured(folder, draw, tmp_path):
    """A ball through reading, writing and our rasteriser: the series, the file, and how well it came back."""
    series = read_series(folder)
    field = draw.ball(series.grid, CENTRE, RADIUS)
    path = tmp_path / "rs.dcm"
    write_contours(series, {"Ball": (field, 0.5)}, path, identity=draw.identity)
    got, wanted = rasterise(dcmread(path), series)["Ball"], field >= 0.5
    return series, path, 2 * (got & wanted).sum() / (got.sum() + wanted.sum())


@pytest.fixture
def ball(make_ct, draw, tmp_path):
    """A CT and a structure set of one ball on it."""
    folder = make_ct(grid=draw.grid((48, 44, 20), (1.1, 1.2, 3.0)))
    contoured(folder, draw, tmp_path)
    return folder, tmp_path / "rs.dcm"


@pytest.mark.parametrize("quirk", SHOWN_BY)
def test_every_quirk_has_its_test(quirk):
    file, name = SHOWN_BY[quirk]
    text = (Path(__file__).parent / file).read_text()
    assert f"def {name}(" in text or f'"{name}": ' in text


def noise(draw, size=(45, 37, 22)):
    grid = draw.grid(size, (0.9, 1.3, 2.5))
    return grid, np.random.default_rng(0).integers(-1000, 2000, grid.shape_zyx).astype(np.int16)


def test_jpeg_2000_without_class_and_patient_in_the_data_set_is_read_by_its_meta_information(
    make_ct, draw, tmp_path
):
    grid, hu = noise(draw)
    folder = make_ct(hu, grid, PatientID=None)
    for path in folder.iterdir():
        draw.encode(path, JPEG2000Lossless)
    change(folder, lambda dataset, n: delattr(dataset, "SOPClassUID"))
    assert not any("SOPClassUID" in dcmread(p) or "PatientID" in dcmread(p) for p in folder.iterdir())
    series, path, score = contoured(folder, draw, tmp_path)
    assert (series.hu == hu).all() and score >= 0.999
    written = dcmread(path)
    assert written["PatientID"].is_empty
    image = written.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    assert image.ReferencedSOPClassUID == CTImageStorage
    assert not verify(path, folder).objections


@pytest.mark.parametrize(("thick_mm", "step_mm"), [("3.75", 3.27), ("3", 2.0)])
def test_slices_thicker_than_their_distance_lie_where_their_positions_say(
    make_ct, draw, tmp_path, thick_mm, step_mm
):
    grid = draw.grid((48, 44, 22), (1.1, 1.2, step_mm))
    folder = make_ct(grid=grid, SliceThickness=thick_mm)
    series, path, score = contoured(folder, draw, tmp_path)
    assert series.grid.spacing_mm[2] == pytest.approx(step_mm) and not series.findings
    truth_cc = 4 / 3 * np.pi * RADIUS**3 / 1000
    (roi,) = verify(path, folder).rois
    assert score >= 0.999 and roi.volume_cc == pytest.approx(truth_cc, rel=0.02)
    assert float(dcmread(path).StructureSetROISequence[0].ROIVolume) == pytest.approx(truth_cc, rel=0.02)
    (stack,) = read_images(folder).values()
    assert stack.thickness_mm == pytest.approx(step_mm)


def test_numbers_in_scientific_notation_with_leading_zeros_are_read(make_ct, draw, tmp_path):
    grid = draw.grid((48, 44, 22), (0.4785156, 0.4785156, 2.5))
    hu = np.random.default_rng(0).integers(-1000, 2000, grid.shape_zyx).astype(np.int16)
    folder = make_ct(
        hu,
        grid,
        RescaleIntercept="-01.024000E+03",
        RescaleSlope="01.000000E+00",
        PixelSpacing=["04.785156E-01", "04.785156E-01"],
    )
    data = next(folder.iterdir()).read_bytes()
    assert b"-01.024000E+03" in data and rb"04.785156E-01\04.785156E-01" in data
    series = read_series(folder)
    assert (series.hu == hu).all()
    assert series.grid.spacing_mm[:2] == pytest.approx((0.4785156, 0.4785156))
    (stack,) = read_images(folder).values()
    assert stack.planes[0].spacing_mm == pytest.approx((0.4785156, 0.4785156))


@pytest.mark.parametrize("slope", ["32.12", "2.0002"])
def test_a_rescale_that_is_not_one_and_minus_1024_is_believed(make_ct, slope):
    folder = make_ct(RescaleSlope=slope, RescaleIntercept="-4047", PixelRepresentation=0)

    def stored(dataset, n):
        pixels = np.arange(dataset.Rows * dataset.Columns) % 256
        dataset.PixelData = pixels.astype("<u2").tobytes()

    change(folder, stored)
    hu = read_series(folder).hu[5].ravel()[:256]
    assert (hu == np.maximum(np.rint(np.arange(256) * float(slope) - 4047), -1024)).all()


def picture(dataset):
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage


def reformat(dataset):
    dataset.ImageType = ["DERIVED", "SECONDARY", "MPR"]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


@pytest.mark.parametrize(
    ("edit", "code"), [(picture, "pictures-left-out"), (reformat, "other-planes-left-out")]
)
def test_a_dose_screen_or_a_reformat_in_the_series_of_modality_ct_is_set_aside_and_named(make_ct, edit, code):
    folder = make_ct()
    dataset = dcmread(sorted(folder.iterdir())[9])
    edit(dataset)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.5"
    dataset.save_as(folder / "extra")
    assert dataset.Modality == "CT"
    series = read_series(folder)
    (finding,) = series.findings
    assert len(series.hu) == 22 and finding.code == code and "2.25.5" in finding.message


def test_a_colour_rendering_that_claims_to_be_a_ct_image_is_refused_by_name(make_ct):
    folder = make_ct()
    path = sorted(folder.iterdir())[9]
    dataset = dcmread(path)
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "RGB", 3
    dataset.PlanarConfiguration, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 0, 8, 8, 7
    dataset.PixelData = bytes(3 * dataset.Rows * dataset.Columns)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    with pytest.raises(UnreadableInstance, match=str(dataset.SOPInstanceUID).replace(".", r"\.")):
        read_series(folder)


@pytest.mark.filterwarnings("ignore")
def test_uuid_text_in_dates_and_codes_of_a_ct_does_not_stop_it(make_ct, draw, tmp_path):
    folder = make_ct(grid=draw.grid((48, 44, 20), (1.1, 1.2, 3.0)))

    def edit(dataset, n):
        for keyword in ("StudyDate", "PatientBirthDate", "PatientSex", "PatientPosition", "BodyPartExamined"):
            setattr(dataset, keyword, UUID_TEXT)

    change(folder, edit)
    _, path, score = contoured(folder, draw, tmp_path)
    assert score >= 0.999
    assert dcmread(path).get_item("StudyDate").value == UUID_TEXT.encode()
    assert {o.code for o in verify(path, folder).objections} == {"bad-value"}


@pytest.mark.filterwarnings("ignore")
def test_uuid_text_in_dates_and_codes_of_an_rtstruct_is_told_and_costs_no_contour(ball):
    folder, path = ball
    dataset = dcmread(path)
    dataset.StructureSetDate = dataset.ApprovalStatus = dataset.PatientSex = UUID_TEXT
    dataset.StructureSetROISequence[0].ROIGenerationAlgorithm = UUID_TEXT
    dataset.RTROIObservationsSequence[0].RTROIInterpretedType = UUID_TEXT
    before = verify(path, folder)
    dataset.save_as(path)
    verification = verify(path, folder)
    (told,) = [o for o in verification.objections if o.code == "bad-value"]
    for keyword in ("StructureSetDate", "ApprovalStatus", "PatientSex", "RTROIInterpretedType"):
        assert keyword in told.message
    assert UUID_TEXT not in told.message
    assert [r.volume_cc for r in verification.rois] == [r.volume_cc for r in before.rois]
    (roi,) = read_structure_set(path).rois
    assert len(roi.contours) == len(dataset.ROIContourSequence[0].ContourSequence)


def circle(points):
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return 10 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize("points", [3, 1400])
def test_contours_of_three_points_and_of_very_many_enclose_what_they_draw(ball, points):
    folder, path = ball
    series, dataset = read_series(folder), dcmread(path)
    contours = dataset.ROIContourSequence[0].ContourSequence
    del contours[1:]
    z = float(contours[0].ContourData[2])
    millimetres = np.column_stack([circle(points), np.full(points, z)])
    contours[0].NumberOfContourPoints = points
    contours[0].ContourData = [f"{v:.4f}" for v in millimetres.ravel()]
    (roi,) = read_rois(parse_structure_set(dataset), stack_of(series))
    assert roi.report.used == 1 and not roi.report.left_out
    area = 100 * points / 2 * np.sin(2 * np.pi / points)
    got = np.count_nonzero(roi.raster.inside) * series.grid.voxel_mm3 / 3.0
    assert got == pytest.approx(area, rel=0.08)  # a triangle of hundred pixels


@pytest.mark.parametrize(("switch", "end"), [(None, "lossy"), ("true", "bundle-invalid")])
def test_the_switch_of_the_environment_lets_images_with_loss_pass(draw, tmp_path, monkeypatch, switch, end):
    """As far as the bundle, which is not there: that is past the guard."""
    if switch is not None:
        monkeypatch.setenv("PENUMBRA_ACCEPT_LOSSY", switch)
    grid = draw.grid((120, 90, 60), (4.0, 4.0, 3.0))
    write_ct_series(
        np.rint(draw.pelvis(grid)).astype(np.int16),
        grid,
        tmp_path / "ct",
        patient=draw.patient,
        uid_seed="lossy",
        LossyImageCompression="01",
    )
    (tmp_path / "out").mkdir()
    request = JobRequest(job_id="one", series_instance_uid="", bundle="none-such", passes=1)
    outcome = run(request, tmp_path / "ct", tmp_path / "out", progress=lambda _report: None)
    assert outcome.reason["code"] == end
