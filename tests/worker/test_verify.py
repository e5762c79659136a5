"""What planning systems dislike is found, named and explained; what they like is left in peace; nothing crashes."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from worker import verify_subject
from worker.ct_writer import write_ct_series
from worker.errors import NoDicom, Rejected
from worker.polygon_checks import crosses_itself, has_loose_keyhole
from worker.rtstruct import write_contours
from worker.series import read_series
from worker.vendor_images import read_images
from worker.verify import verify
from worker.verify_codes import CHECKS

PATIENT_WORDS = ("Quasimodo", "Esmeralda", "PEN-0001", "19500101")


@pytest.fixture(scope="module")
def small(tmp_path_factory, draw) -> SimpleNamespace:
    """A ball and a tube with a hole on a small CT, as we write them. Shared: edit copies."""
    folder = tmp_path_factory.mktemp("verify")
    grid = draw.grid((48, 44, 20), (1.1, 1.2, 3.0))
    write_ct_series(
        np.zeros(grid.shape_zyx, np.int16), grid, folder / "ct", patient=draw.patient, uid_seed="v"
    )
    r = np.linalg.norm(draw.points(grid)[..., :2], axis=-1)
    tube = draw.sigmoid(np.abs(r - 13) - 5, 3.0) * (np.abs(np.arange(20) - 10) < 4)[:, None, None]
    fields = {"Ball": (draw.ball(grid, (0, 0, 0), 12), 0.5), "Tube": (tube, 0.5)}
    series = read_series(folder / "ct")
    write_contours(series, fields, folder / "rs.dcm", identity=draw.identity)
    stacks = read_images(folder / "ct")
    return SimpleNamespace(ct=folder / "ct", rs=folder / "rs.dcm", series=series, stacks=stacks)


@pytest.fixture
def objections(small, tmp_path, monkeypatch) -> Callable[[Callable], dict]:
    """Edit a copy and verify it: objections by code. The CT's headers are read once, not seventy times."""
    monkeypatch.setattr(verify_subject, "read_images", lambda folder: small.stacks)

    def of(edit: Callable) -> dict:
        dataset = dcmread(small.rs)
        edit(dataset)
        dcmwrite(tmp_path / "rs.dcm", dataset, enforce_file_format=False)
        return {o.code: o for o in verify(tmp_path / "rs.dcm", small.ct).objections}

    return of


def roi(dataset, place=0):
    return dataset.StructureSetROISequence[place]


def drawn(dataset, place=0):
    return dataset.ROIContourSequence[place]


def contour(dataset, place=1):
    return drawn(dataset).ContourSequence[place]


def points_of(item) -> np.ndarray:
    return np.array([float(v) for v in item.ContourData]).reshape(-1, 3)


def rewrite(item, points, decimals=4) -> None:
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{v:.{decimals}f}" for v in np.ravel(points)]


def images(dataset):
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    return study.RTReferencedSeriesSequence[0]


def circle(radius, n, z=0.0, at=(0.0, 0.0)) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([at[0] + radius * np.cos(t), at[1] + radius * np.sin(t), 0 * t + z], axis=1)


def moved(dataset, by) -> None:
    for item in drawn(dataset).ContourSequence:
        rewrite(item, points_of(item) + by)


def add_ring(dataset, radius, at=(0.0, 0.0)) -> None:
    template = drawn(dataset).ContourSequence[3]
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.ContourImageSequence = template.ContourImageSequence
    rewrite(item, circle(radius, 40, points_of(template)[0, 2], at))
    drawn(dataset).ContourSequence.append(item)


def bow_tie(dataset) -> None:
    z = points_of(contour(dataset))[0, 2]
    rewrite(contour(dataset), [(-5, -5, z), (5, 5, z), (5, -5, z), (-5, 5, z)])


def upright(dataset) -> None:
    x, y, _ = circle(8, 30).T
    rewrite(contour(dataset), np.stack([x, 0 * x, y], axis=1))


def crooked(dataset) -> None:
    points = points_of(contour(dataset))
    points[::2, 2] += 0.4
    rewrite(contour(dataset), points)


def loose(dataset) -> None:
    """A ring with a channel of 0.02 mm."""
    z = points_of(contour(dataset))[0, 2]
    outer, hole = circle(12, 60, z), circle(5, 30, z)[::-1]
    hole = np.roll(hole, 1, axis=0)
    points = [*outer, outer[0] - (0, 0.02, 0), hole[0] - (0, 0.02, 0), *hole[1:], hole[0]]
    rewrite(contour(dataset), points)


def remove(keyword) -> Callable:
    return lambda dataset: delattr(dataset, keyword)


def put(keyword, value) -> Callable:
    return lambda dataset: setattr(dataset, keyword, value)


def coded(dataset, version=None) -> None:
    """An identification code as Eclipse writes it, or without the version that it asks for."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "15900", "FMA", "Urinary bladder"
    if version is not None:
        item.ContextGroupVersion = version
    dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence = [item]


def second_frame(dataset) -> None:
    roi(dataset, 1).ReferencedFrameOfReferenceUID = "1.2.99"


def no_frames(dataset) -> None:
    dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = ""


EDITS = {
    "no-file-meta": lambda d: setattr(d.file_meta, "TransferSyntaxUID", None),
    "missing-type-1": remove("StructureSetLabel"),
    "missing-type-2": remove("StudyID"),
    "bad-value": put("StructureSetDate", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
    "label-length": put("StructureSetLabel", "A label of twenty ch"),
    "ds-length": lambda d: rewrite(contour(d), points_of(contour(d)) + 1e-4, 15),
    "contour-data-length": lambda d: rewrite(contour(d), circle(12, 2500, points_of(contour(d))[0, 2]), 7),
    "wrong-sop-class": put("SOPClassUID", "1.2.840.10008.5.1.4.1.1.481.2"),
    "wrong-modality": put("Modality", "CT"),
    "no-series-date": remove("SeriesTime"),
    "code-version": coded,
    "meta-differs": lambda d: setattr(d.file_meta, "MediaStorageSOPInstanceUID", "1.2.3.4"),
    "other-patient": put("PatientID", "Somebody"),
    "patient-differs": put("PatientName", "Somebody^Else"),
    "other-study": put("StudyInstanceUID", "1.2.3"),
    "other-series": lambda d: setattr(images(d), "SeriesInstanceUID", "1.2.3"),
    "other-frame": second_frame,
    "several-frames": second_frame,
    "no-frame": no_frames,
    "no-top-frame": remove("FrameOfReferenceUID"),
    "no-image-list": remove("ReferencedFrameOfReferenceSequence"),
    "listed-image-missing": lambda d: setattr(
        images(d).ContourImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3"
    ),
    "image-not-listed": lambda d: images(d).ContourImageSequence.pop(0),
    "image-listed-twice": lambda d: images(d).ContourImageSequence.append(images(d).ContourImageSequence[0]),
    "image-class-differs": lambda d: setattr(
        images(d).ContourImageSequence[0], "ReferencedSOPClassUID", "1.2.840.10008.5.1.4.1.1.4"
    ),
    "no-roi": put("StructureSetROISequence", Sequence()),
    "number-missing": lambda d: delattr(roi(d), "ROINumber"),
    "number-twice": lambda d: setattr(roi(d, 1), "ROINumber", 1),
    "number-unknown": lambda d: setattr(drawn(d, 1), "ReferencedROINumber", 7),
    "no-observation": lambda d: d.RTROIObservationsSequence.pop(0),
    "name-missing": lambda d: setattr(roi(d), "ROIName", ""),
    "name-twice": lambda d: setattr(roi(d, 1), "ROIName", "bALL"),
    "name-length": lambda d: setattr(roi(d), "ROIName", "Bladder_of_the_patient"),
    "name-characters": lambda d: setattr(roi(d), "ROIName", "Ball é"),
    "type-missing": lambda d: setattr(d.RTROIObservationsSequence[0], "RTROIInterpretedType", ""),
    "type-unknown": lambda d: setattr(d.RTROIObservationsSequence[0], "RTROIInterpretedType", "BLADDER"),
    "colour": lambda d: setattr(drawn(d), "ROIDisplayColor", [300, 0, 0]),
    "empty-roi": lambda d: d.ROIContourSequence.pop(0),
    "empty-sequence": lambda d: setattr(drawn(d), "ContourSequence", Sequence()),
    "rejected": put("ApprovalStatus", "REJECTED"),
    "approval": put("ApprovalStatus", "APPROVED"),
    "no-series-description": remove("SeriesDescription"),
    "kind-unknown": lambda d: setattr(contour(d), "ContourGeometricType", "INTERPOLATED"),
    "xor": lambda d: setattr(contour(d), "ContourGeometricType", "CLOSEDPLANAR_XOR"),
    "not-closed": lambda d: setattr(contour(d), "ContourGeometricType", "POINT"),
    "no-points": lambda d: setattr(contour(d), "ContourData", None),
    "not-finite": lambda d: setattr(contour(d), "ContourData", ["nan"] * 9),
    "not-triples": lambda d: setattr(contour(d), "ContourData", ["1"] * 10),
    "point-count": lambda d: setattr(contour(d), "NumberOfContourPoints", 5),
    "few-points": lambda d: rewrite(contour(d), points_of(contour(d))[:2]),
    "no-area": lambda d: rewrite(contour(d), points_of(contour(d))[[0, 4, 0, 4]]),
    "first-repeated": lambda d: rewrite(contour(d), [*points_of(contour(d)), points_of(contour(d))[0]]),
    "many-points": lambda d: rewrite(contour(d), circle(12, 1100, points_of(contour(d))[0, 2])),
    "tiny": lambda d: rewrite(contour(d), circle(0.9, 12, points_of(contour(d))[0, 2])),
    "crosses-itself": bow_tie,
    "not-planar": crooked,
    "not-parallel": upright,
    "off-slice": lambda d: moved(d, (0, 0, 0.4)),
    "off-images": lambda d: moved(d, (0, 0, 200)),
    "outside-image": lambda d: moved(d, (40, 0, 0)),
    "duplicate": lambda d: drawn(d).ContourSequence.append(contour(d)),
    "nested": lambda d: add_ring(d, 4),
    "overlapping": lambda d: add_ring(d, 6, at=(11, 0)),
    "loose-keyhole": loose,
    "slice-gap": lambda d: drawn(d).ContourSequence.pop(3),
    "no-image-reference": lambda d: delattr(contour(d), "ContourImageSequence"),
    "reference-unknown": lambda d: setattr(
        contour(d).ContourImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3"
    ),
    "reference-wrong": lambda d: setattr(
        contour(d), "ContourImageSequence", contour(d, 3).ContourImageSequence
    ),
    "several-references": lambda d: contour(d).ContourImageSequence.append(
        contour(d, 3).ContourImageSequence[0]
    ),
    "volume-differs": lambda d: setattr(roi(d), "ROIVolume", "99"),
}
ELSEWHERE = {
    "damaged-part",
    "explicit-vr",
    "big-endian",
    "series-of-images",
    "several-series",
    "images-left-out",
}
ELSEWHERE |= {"not-numbers"}


def test_every_code_has_a_test():
    assert set(CHECKS) - set(EDITS) == ELSEWHERE


def test_every_code_is_in_the_users_page():
    page = (Path(__file__).parents[2] / "docs" / "users" / "verify.md").read_text()
    assert not [code for code in CHECKS if f"`{code}`" not in page]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", EDITS)
def test_each_fault_is_found_and_names_no_patient(objections, code):
    found = objections(EDITS[code])
    assert code in found
    text = " ".join(f"{o.message} {o.remedy} {o.roi}" for o in found.values())
    assert not any(word in text for word in PATIENT_WORDS)


def test_what_we_write_is_clean(small):
    verification = verify(small.rs, small.ct)
    assert not verification.objections and verification.clean
    assert [(r.name, r.kind, r.slices) for r in verification.rois] == [
        ("Ball", "ORGAN", 8),
        ("Tube", "ORGAN", 7),
    ]
    ball, tube = verification.rois
    assert ball.volume_cc == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.03)
    assert tube.volume_cc == pytest.approx(np.pi * (1.8**2 - 0.8**2) * 2.1, rel=0.01)


def test_a_result_with_bounds_is_clean(written, result_folder):
    assert not verify(written, result_folder / "ct").objections


def test_explicit_vr_is_a_note(small, tmp_path):
    dataset = dcmread(small.rs)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(tmp_path / "rs.dcm", dataset, implicit_vr=False, little_endian=True)
    verification = verify(tmp_path / "rs.dcm", small.ct)
    assert [o.code for o in verification.objections] == ["explicit-vr"] and verification.clean


def test_the_series_is_chosen_that_it_was_drawn_on(small, tmp_path, draw):
    for name in ("a", "b"):
        grid = draw.grid((8, 8, 30))
        write_ct_series(
            np.zeros(grid.shape_zyx, np.int16), grid, tmp_path / name, patient=draw.patient, uid_seed=name
        )
    (tmp_path / "c").symlink_to(small.ct)
    for path in small.ct.iterdir():
        (tmp_path / "b" / f"x{path.name}").write_bytes(path.read_bytes())
    verification = verify(small.rs, tmp_path)
    assert verification.series_instance_uid == small.series.series_instance_uid
    assert [o.code for o in verification.objections] == ["several-series"]


def test_a_code_with_its_version_is_left_in_peace(objections):
    assert not objections(lambda dataset: coded(dataset, "20161209"))


def test_a_contour_that_names_its_image_by_another_class_is_found(objections):
    def edit(dataset):
        contour(dataset).ContourImageSequence[0].ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"

    found = objections(edit)
    assert set(found) == {"image-class-differs"} and found["image-class-differs"].roi == (1, "Ball")


@pytest.mark.parametrize("ends", ["", "^", "^^^", "^^^=", "^ ^==", " "])
def test_what_may_be_left_out_of_a_name_makes_no_other_patient(objections, ends):
    """PS3.5 6.2: trailing components and groups that are empty, with their delimiters, and padding."""
    assert not objections(lambda d: setattr(d, "PatientName", f"{d.PatientName}{ends}"))


@pytest.mark.parametrize("name", ["Quasimodo", "^Quasimodo^Esmeralda", "Quasimodo^Esmeralda^^^Dr"])
def test_another_name_is_told_from_padding(objections, name):
    assert set(objections(put("PatientName", name))) == {"patient-differs"}


def test_a_series_uid_of_images_is_found(objections, small):
    found = objections(put("SeriesInstanceUID", small.series.series_instance_uid))
    assert "series-of-images" in found


def test_a_patients_name_in_an_roi_name_is_not_shown(objections):
    def edit(dataset):
        roi(dataset).ROIName = "Bladder QUASIMODO 1950"
        roi(dataset).ReferencedFrameOfReferenceUID = "1.2.9"

    assert objections(edit)["other-frame"].roi == (1, "Bladder *** 1950")


def test_a_folder_without_images_is_refused(small, tmp_path):
    with pytest.raises(NoDicom):
        verify(small.rs, tmp_path)


def test_edges_that_touch_are_no_crossing_and_exact_keyholes_are_tight():
    outer, hole = circle(12, 40)[:, :2], circle(5, 20)[::-1][:, :2]
    hole = np.roll(hole, 1, axis=0)
    keyhole = np.concatenate([outer, outer[:1], hole, hole[:1]])
    assert not crosses_itself(keyhole) and not has_loose_keyhole(keyhole)
    star = circle(10, 5)[[0, 2, 4, 1, 3], :2]
    assert crosses_itself(star)


@pytest.fixture(scope="module")
def little(tmp_path_factory, draw, small) -> SimpleNamespace:
    """A structure set of few bytes and a CT of few images, so that many can be tried."""
    folder = tmp_path_factory.mktemp("little")
    (folder / "ct").mkdir()
    for path in sorted(small.ct.iterdir())[8:12]:
        (folder / "ct" / path.name).write_bytes(path.read_bytes())
    dataset = dcmread(small.rs)
    for item in dataset.ROIContourSequence:
        item.ContourSequence = item.ContourSequence[2:5]
    dataset.save_as(folder / "rs.dcm")
    return SimpleNamespace(folder=folder, ct=folder / "ct", content=(folder / "rs.dcm").read_bytes())


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Bytes flipped, cut, doubled, overwritten with a huge length, or with another's VR."""
    data = bytearray(content)
    kind, at = random.integers(6), int(random.integers(132, len(content) - 8))
    if kind == 0:
        del data[at:]
    elif kind == 1:
        data[at : at + 4] = b"\xff\xff\xff\x7f"
    elif kind == 2:
        data[at : at + 40] = data[at : at + 40] * 2
    elif kind == 3:
        data[at : at + 2] = bytes(random.choice([b"SQ", b"UN", b"DS", b"\xfe\xff", b"\\\\"]))
    else:
        for place in random.integers(132, len(data), 2 ** int(random.integers(0, 8))):
            data[place] ^= 1 << int(random.integers(8))
    return bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [70, pytest.param(400, marks=pytest.mark.slow)])
def test_mutated_files_are_verified_or_refused(little, tmp_path, count):
    random = np.random.default_rng(20)
    outcomes = {"verified": 0, "refused": 0}
    for number in range(count):
        path = tmp_path / "rs.dcm"
        path.write_bytes(mutated(little.content, random))
        try:
            verify(path, little.ct).as_json()
            outcomes["verified"] += 1
        except Rejected as reason:
            assert reason.message and reason.remedy, number
            outcomes["refused"] += 1
    assert outcomes["verified"] > count / 2
