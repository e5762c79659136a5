"""What planning systems need of an RTSTRUCT; W numbers are those of the interoperability requirements."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from worker.ct_writer import PatientIdentity
from worker.errors import ResultImplausible, RoundTripFailed
from worker.patient_study import ObjectIdentity
from worker.roi_naming import RoiNaming, RoiStyle
from worker.round_trip import rasterise
from worker.rtstruct import build_rtstruct, write_and_prove, write_contours, write_rtstruct

STRUCTURES = ["CTV", "Bladder", "Rectum", "Femur_Head_L", "Femur_Head_R", "PenileBulb"]
IDENTITY_TAGS = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
]


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def raw(path, keyword):
    """An attribute's bytes as they stand in a file."""
    element = dcmread(path, stop_before_pixels=True).get_item(keyword)
    return None if element is None else (element.value or b"").rstrip(b" \0")


@needs("dciodvfy")
def test_w01_dciodvfy_finds_no_error(written):
    """W1."""
    done = subprocess.run(["dciodvfy", "-new", str(written)], capture_output=True, text=True)
    assert "Error" not in done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr


@needs("dcentvfy")
def test_w01_dcentvfy_finds_it_consistent_with_its_ct(written, result_folder):
    """W1."""
    files = [str(p) for p in sorted((result_folder / "ct").iterdir())]
    done = subprocess.run(["dcentvfy", str(written), *files], capture_output=True, text=True)
    assert (done.stdout + done.stderr).strip() == ""


@needs("dciodvfy")
def test_the_ct_writers_own_instances_are_valid(make_ct):
    for path in sorted(make_ct().iterdir())[:2]:
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
        assert "Error" not in done.stdout + done.stderr


def test_w02_w03_it_is_implicit_vr_and_every_number_is_short_and_plain(written):
    """W2, W3."""
    dataset = dcmread(written)
    assert dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            data = contour.get_item("ContourData").value
            assert len(data) <= 65534
            for number in data.decode().strip().split("\\"):
                assert re.fullmatch(r"-?\d{1,4}(\.\d{1,3})?", number)
                assert number != "-0"


def test_w04_w08_w10_w11_points_lie_on_the_instance_they_name(written, result):
    """W4, W8, W10, W11."""
    dataset = dcmread(written)
    heights = dict(zip(result.series.sop_instance_uids, result.series.slice_positions_mm[:, 2], strict=True))
    listed = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    images = listed.RTReferencedSeriesSequence[0].ContourImageSequence
    assert [i.ReferencedSOPInstanceUID for i in images] == list(result.series.sop_instance_uids)
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            (image,) = contour.ContourImageSequence
            points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
            assert len(points) == contour.NumberOfContourPoints >= 3
            assert (points[:, 2] == np.round(heights[image.ReferencedSOPInstanceUID], 3)).all()
            assert (points[0] != points[-1]).any()


def test_w12_identity_equals_the_cts_byte_for_byte(written, result_folder):
    """W12."""
    ct = sorted((result_folder / "ct").iterdir())[0]
    for keyword in IDENTITY_TAGS:
        assert raw(written, keyword) == raw(ct, keyword), keyword
    dataset = dcmread(written)
    reference = dataset.ReferencedFrameOfReferenceSequence[0]
    frames = {reference.FrameOfReferenceUID, dataset.FrameOfReferenceUID}
    frames |= {roi.ReferencedFrameOfReferenceUID for roi in dataset.StructureSetROISequence}
    assert frames == {dcmread(ct).FrameOfReferenceUID}


@pytest.mark.parametrize(
    ("name", "character_set"),
    [
        ("Пациент^Иван", "ISO_IR 144"),
        ("Пациент^Иван", "ISO_IR 192"),
        ("Müller^Jürgen", "ISO_IR 100"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("", "ISO_IR 100"),
        ("^".join(["Wolfeschlegelsteinhausenbergerdorff"] * 5), "ISO_IR 100"),
    ],
)
@pytest.mark.filterwarnings("ignore:The PN component length")
def test_w13_names_in_any_character_set_survive(make_series, draw, tmp_path, name, character_set):
    """W13."""
    patient = PatientIdentity(patient_id="P-7", name=name, character_set=character_set)
    series = make_series(grid=draw.grid((60, 60, 22)), patient=patient)
    small = (draw.structure("CTV", series.grid, (0, 0, 0), 10),)
    path = tmp_path / "r.dcm"
    write_rtstruct(draw.result(series, structures=small), path, identity=draw.identity)
    ct = sorted((tmp_path / "ct").iterdir())[0]
    assert raw(path, "PatientName") == raw(ct, "PatientName")
    assert dcmread(path).SpecificCharacterSet == dcmread(ct).SpecificCharacterSet
    assert str(dcmread(path).PatientName) == name


@pytest.mark.parametrize("keyword", [*IDENTITY_TAGS[:10], "SpecificCharacterSet", "StudyDescription"])
def test_w12_what_the_ct_lacks_is_left_empty(make_series, draw, tmp_path, keyword):
    """W12."""
    series = make_series(grid=draw.grid((60, 60, 22)), **{keyword: None})
    small = (draw.structure("CTV", series.grid, (0, 0, 0), 10),)
    path = tmp_path / "r.dcm"
    write_rtstruct(draw.result(series, structures=small), path, identity=draw.identity)
    assert not raw(path, keyword)
    assert (keyword in dcmread(path)) == (keyword in IDENTITY_TAGS)


def test_w14_same_seed_and_time_give_the_same_bytes_and_another_seed_another_instance(draw, result, tmp_path):
    """W14."""
    paths = [tmp_path / f"{n}.dcm" for n in range(3)]
    other = ObjectIdentity(seed="job-2", created=draw.identity.created)
    for path, identity in zip(paths, (draw.identity, draw.identity, other), strict=True):
        write_rtstruct(result, path, identity=identity)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    first, third = dcmread(paths[0]), dcmread(paths[2])
    assert first.SOPInstanceUID != third.SOPInstanceUID
    assert first.SeriesInstanceUID not in {third.SeriesInstanceUID, result.series.series_instance_uid}
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID


def test_creation_is_what_the_identity_says(written):
    dataset = dcmread(written)
    for kind in ("InstanceCreation", "Series", "StructureSet"):
        assert (dataset.get(f"{kind}Date"), dataset.get(f"{kind}Time")) == ("20261124", "120000")


def test_w14_w15_texts_are_short_and_carry_the_mark(written):
    """W14, W15; a research bundle says so wherever a user may look."""
    dataset = dcmread(written)
    assert len(dataset.StructureSetLabel) <= 16
    assert dataset.StructureSetLabel == "NOT CLINICAL"
    for text in (dataset.StructureSetName, dataset.SeriesDescription):
        assert len(text) <= 64 and "NOT FOR CLINICAL USE" in text
    assert "NOT FOR CLINICAL USE" in dataset.StructureSetDescription
    for roi in dataset.StructureSetROISequence:
        assert "NOT FOR CLINICAL USE" in roi.ROIDescription


def test_a_clinical_bundle_bears_no_mark_and_calibrated_bounds_may_be_called_95(draw, result, tmp_path):
    bundle = replace(draw.bundle, intended_use="clinical")
    path = tmp_path / "r.dcm"
    structures = tuple(replace(s, percent=95) for s in result.structures)
    calibrated = replace(result, bundle=bundle, structures=structures)
    names = write_rtstruct(calibrated, path, identity=draw.identity)
    dataset = dcmread(path)
    assert "NOT" not in f"{dataset.StructureSetLabel}{dataset.StructureSetName}{dataset.SeriesDescription}"
    assert names["CTV"] == {"mean": "CTVsb^AI", "lower": "zCTVsb^lo95", "upper": "zCTVsb^hi95"}
    assert not any("uncalibrated" in roi.ROIDescription for roi in dataset.StructureSetROISequence)


def test_uncalibrated_bounds_never_say_95(draw, result, tmp_path):
    names = write_rtstruct(result, tmp_path / "r.dcm", identity=draw.identity)
    dataset = dcmread(tmp_path / "r.dcm")
    assert names["Bladder"] == {"mean": "Bladder", "lower": "zBladder^lo", "upper": "zBladder^hi"}
    for roi in dataset.StructureSetROISequence:
        assert "95" not in roi.ROIName + roi.ROIDescription
        assert ("uncalibrated" in roi.ROIDescription) == roi.ROIName.startswith("z")


def test_quality_is_told_where_it_means_something(written):
    described = {roi.ROIName: roi.ROIDescription for roi in dcmread(written).StructureSetROISequence}
    assert "quality 0.93;" in described["Bladder"]
    assert "bundle phantom 0.1" in described["Bladder"]
    assert "50 passes" in described["Bladder"]
    assert "quality not validated" in described["CTVsb^AI"]
    assert "0.93" not in described["CTVsb^AI"]


def test_w16_w18_w19_w21_names_types_numbers_and_colours(written):
    """W16, W18, W19, W21."""
    dataset = dcmread(written)
    names = [roi.ROIName for roi in dataset.StructureSetROISequence]
    assert len(names) == 18
    assert all(len(n) <= 16 and n.isascii() for n in names)
    assert len({n.casefold() for n in names}) == 18
    numbers = [int(roi.ROINumber) for roi in dataset.StructureSetROISequence]
    assert numbers == list(range(1, 19))
    assert [int(r.ReferencedROINumber) for r in dataset.ROIContourSequence] == numbers
    assert [int(o.ReferencedROINumber) for o in dataset.RTROIObservationsSequence] == numbers
    types = {n: o.RTROIInterpretedType for n, o in zip(names, dataset.RTROIObservationsSequence, strict=True)}
    assert types["CTVsb^AI"] == "CTV" and types["Rectum"] == "ORGAN"
    assert all(kind == "CONTROL" for name, kind in types.items() if name.startswith("z"))
    colours = [tuple(int(c) for c in roi.ROIDisplayColor) for roi in dataset.ROIContourSequence]
    assert len(set(colours)) == 18 and all(0 <= c <= 255 for colour in colours for c in colour)
    assert dataset.ApprovalStatus == "UNAPPROVED"
    for roi in dataset.StructureSetROISequence:
        assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
        (algorithm,) = roi.ROIDerivationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Penumbra phantom", "0.1")
        assert "ab" * 32 in algorithm.AlgorithmParameters


def test_w20_bounds_say_how_they_relate_and_are_nested(written, result):
    """W20."""
    dataset = dcmread(written)
    numbers = {roi.ROIName: int(roi.ROINumber) for roi in dataset.StructureSetROISequence}
    observations = {int(o.ReferencedROINumber): o for o in dataset.RTROIObservationsSequence}
    related = {
        int(r.ReferencedROINumber): r.RTROIRelationship
        for r in observations[numbers["CTVsb^AI"]].RTRelatedROISequence
    }
    assert related == {numbers["zCTVsb^lo"]: "ENCLOSING", numbers["zCTVsb^hi"]: "ENCLOSED"}
    masks = rasterise(dataset, result.series)
    assert not (masks["zCTVsb^lo"] & ~masks["CTVsb^AI"]).any()
    assert not (masks["CTVsb^AI"] & ~masks["zCTVsb^hi"]).any()


def test_w17_what_was_not_found_is_left_out_and_said(draw, result, tmp_path):
    """W17."""
    bulb = result.structures[-1]
    nothing = np.zeros_like(bulb.mean)
    empty = replace(bulb, mean=nothing, lower=nothing, upper=nothing)
    rectum = replace(result.structures[2], lower=nothing)
    changed = replace(result, structures=(*result.structures[:2], rectum, *result.structures[3:-1], empty))
    names = write_rtstruct(changed, tmp_path / "r.dcm", identity=draw.identity)
    assert names["PenileBulb"] == {}
    assert set(names["Rectum"]) == {"mean", "upper"}
    dataset = dcmread(tmp_path / "r.dcm")
    assert "not found: PenileBulb" in dataset.StructureSetDescription
    assert len(dataset.ROIContourSequence) == 14
    assert all(len(roi.ContourSequence) for roi in dataset.ROIContourSequence)


def test_a_result_without_any_structure_is_implausible(draw, result, tmp_path):
    nothing = np.zeros_like(result.structures[0].mean)
    empty = tuple(replace(s, mean=nothing, lower=nothing, upper=nothing) for s in result.structures)
    with pytest.raises(ResultImplausible):
        write_rtstruct(replace(result, structures=empty), tmp_path / "r.dcm", identity=draw.identity)
    assert not list(tmp_path.glob("r.dcm*"))


def test_w22_slices_without_contour_between_the_ends_are_reported(draw, result):
    """W22."""
    ctv = result.structures[0]
    mean = ctv.mean.copy()
    mean[12] = 0
    gap = replace(ctv, mean=mean, lower=np.minimum(ctv.lower, mean))
    dataset = build_rtstruct(replace(result, structures=(gap,)), identity=draw.identity)
    assert "no contour on 1 slices" in dataset.StructureSetROISequence[0].ROIDescription


def test_volume_is_close_to_the_spheres(written):
    volumes = {roi.ROIName: float(roi.ROIVolume) for roi in dcmread(written).StructureSetROISequence}
    assert volumes["CTVsb^AI"] == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=0.02)


def test_bounds_that_are_not_nested_never_reach_the_file(draw, result, tmp_path):
    ctv = result.structures[0]
    broken = replace(ctv, lower=np.roll(ctv.lower, 8, axis=2))
    with pytest.raises(RoundTripFailed, match="nested"):
        write_rtstruct(replace(result, structures=(broken,)), tmp_path / "r.dcm", identity=draw.identity)
    assert not list(tmp_path.glob("r.dcm*"))


def test_w07_the_proof_is_exact(draw, result, tmp_path):
    """W7."""
    proof = write_and_prove(result, tmp_path / "r.dcm", identity=draw.identity)
    assert set(proof.dsc.values()) == {1.0}


@needs("plastimatch")
def test_w07_w09_plastimatch_reads_the_same_masks_holes_included(draw, make_series, tmp_path):
    """W7, W9: an independent reader, which fills holes that are not written as keyholes."""
    import SimpleITK as sitk

    series = make_series(grid=draw.grid((80, 70, 24), (0.9, 1.3, 2.5)))
    ctv = draw.structure("CTV", series.grid, (0, 0, 0), 20)
    hole = 1 - draw.ball(series.grid, (2, 1, 0), 7)
    ring = replace(ctv, mean=np.minimum(ctv.mean, hole), lower=np.minimum(ctv.lower, hole))
    path = tmp_path / "r.dcm"
    result = draw.result(series, structures=(ring, draw.structure("PenileBulb", series.grid, (0, 25, 0), 6)))
    write_rtstruct(result, path, identity=draw.identity)
    out = tmp_path / "masks"
    subprocess.run(
        ["plastimatch", "convert", "--input", path, "--referenced-ct", tmp_path / "ct"]
        + ["--output-prefix", out, "--prefix-format", "nrrd"],
        check=True,
        capture_output=True,
    )
    for name, structure in (("CTVsb", ring), ("PenileBulb", result.structures[1])):
        (file,) = [p for p in out.iterdir() if name in p.name and not p.name.startswith("z")]
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0
        ours = structure.mean >= 0.5
        assert 2 * (theirs & ours).sum() / (theirs.sum() + ours.sum()) >= 0.999


@pytest.mark.parametrize("direction", [(-1, 0, 0, 0, -1, 0, 0, 0, 1), (-1, 0, 0, 0, 1, 0, 0, 0, -1)])
def test_prone_and_feet_first_patients_are_written_in_place(draw, make_series, tmp_path, direction):
    series = make_series(grid=draw.grid((60, 60, 24), (1.0, 1.2, 2.5), direction=direction))
    structures = (draw.structure("Femur_Head_L", series.grid, (12, -5, 4), 9),)
    result = draw.result(series, structures=structures)
    write_rtstruct(result, tmp_path / "r.dcm", identity=draw.identity)
    points = [
        np.reshape(c.ContourData, (-1, 3)).astype(float)
        for c in dcmread(tmp_path / "r.dcm").ROIContourSequence[0].ContourSequence
    ]
    assert np.concatenate(points).mean(axis=0) == pytest.approx((12, -5, 4), abs=1.0)


def test_w16_names_that_break_the_rules_are_refused():
    style = RoiStyle(name="B", stem="B", interpreted_type="ORGAN", colour=(1, 2, 3), fill_holes=True)
    with pytest.raises(ValueError, match="not a name"):
        RoiNaming(styles={"Bladder": replace(style, name="A_very_long_bladder")})
    with pytest.raises(ValueError, match="unique"):
        RoiNaming(styles={"Bladder": replace(style, stem="x"), "Rectum": replace(style, name="b", stem="y")})
    assert RoiNaming(qualifier="_").names("CTV", percent=95)["lower"] == "zCTVsb_lo95"


def test_plain_contours_are_written_and_proved(draw, make_series, tmp_path):
    series = make_series(grid=draw.grid((60, 60, 24)))
    fields = {"CTV": (draw.ball(series.grid, (0, 0, 0), 12), 0.5), "Empty": (np.zeros(series.hu.shape), 0.5)}
    path = tmp_path / "truth.dcm"
    assert write_contours(series, fields, path, identity=draw.identity) == ["CTV"]
    assert (rasterise(dcmread(path), series)["CTV"] == (fields["CTV"][0] >= 0.5)).all()


def test_w25_rt_utils_is_used_without_opencv():
    """W25: OpenCV needs libGL, which bare servers lack."""
    code = "import sys, worker.rtstruct; assert 'cv2' not in sys.modules and 'rt_utils' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_identity_in_another_time_zone_is_written_as_it_is(draw, result):
    identity = ObjectIdentity(seed="s", created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert build_rtstruct(result, identity=identity).StructureSetTime == "030405"
