"""What else lies in a CT's folder changes no volume: scout views, other planes, frames, damage, deflation."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RTDoseStorage

from worker import vendor_headers
from worker.ct_writer import write_ct_series
from worker.errors import NotCT
from worker.rtstruct import write_contours
from worker.series import read_series
from worker.verify import Verification, verify

SAGITTAL = ((60, -30, 40), (0, 1, 0, 0, 0, -1))  # each put before the slices made another volume
CORONAL = ((-30, 20, 0.7), (1, 0, 0, 0, 0, -1))


@pytest.fixture(scope="module")
def small(tmp_path_factory, draw) -> SimpleNamespace:
    """A ball on a CT of 20 slices. Shared: copy it to edit."""
    folder = tmp_path_factory.mktemp("verify-images")
    grid = draw.grid((40, 36, 20), (1.1, 1.2, 3.0))
    write_ct_series(
        np.zeros(grid.shape_zyx, np.int16), grid, folder / "ct", patient=draw.patient, uid_seed="v"
    )
    fields = {"Ball": (draw.ball(grid, (0, 0, 0), 10), 0.5)}
    write_contours(read_series(folder / "ct"), fields, folder / "rs.dcm", identity=draw.identity)
    return SimpleNamespace(
        ct=folder / "ct", rs=folder / "rs.dcm", plain=verify(folder / "rs.dcm", folder / "ct")
    )


@pytest.fixture
def ct(small, tmp_path) -> Path:
    return Path(shutil.copytree(small.ct, tmp_path / "ct"))


def another(ct: Path, name: str, edit: Callable[[Dataset], object]) -> str:
    """One more instance in the series, made from its third."""
    dataset = dcmread(sorted(ct.iterdir())[2])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.77{len(name)}"
    edit(dataset)
    dataset.save_as(ct / name)
    return str(dataset.SOPInstanceUID)


def turned(plane, *, kind: str = "AXIAL") -> Callable[[Dataset], None]:
    def edit(dataset: Dataset) -> None:
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [list(v) for v in plane]
        dataset.ImageType = ["ORIGINAL", "PRIMARY", kind]

    return edit


def told(verification: Verification) -> dict[str, str]:
    return {objection.code: objection.message for objection in verification.objections}


@pytest.mark.parametrize("name", ["0000", "zzz"], ids=["first", "last"])
@pytest.mark.parametrize("kind", ["AXIAL", "LOCALIZER"])
@pytest.mark.parametrize("plane", [SAGITTAL, CORONAL], ids=["sagittal", "coronal"])
def test_an_image_in_another_plane_is_left_out_and_told(small, ct, plane, kind, name):
    another(ct, name, turned(plane, kind=kind))
    verification = verify(small.rs, ct)
    why = "marked as localisers (scout views)" if kind == "LOCALIZER" else "in other planes than most"
    assert told(verification) == {"images-left-out": f"1 images were left out: 1 {why}."}
    assert verification.clean and verification.images == 20
    assert verification.rois == small.plain.rois


def test_a_localiser_along_the_slices_is_left_out_by_its_mark(small, ct):
    another(ct, "scout", lambda d: setattr(d, "ImageType", ["DERIVED", "SECONDARY", "Scout "]))
    assert set(told(verify(small.rs, ct))) == {"images-left-out"}


def test_a_series_of_nothing_but_localisers_is_taken_for_what_it_is(small, ct):
    for path in ct.iterdir():
        dataset = dcmread(path)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        dataset.save_as(path)
    verification = verify(small.rs, ct)
    assert not verification.objections and verification.rois == small.plain.rois


def test_directions_that_were_rounded_are_one_plane(small, ct):
    for number, path in enumerate(sorted(ct.iterdir())):
        dataset = dcmread(path)
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0.0002 * (number % 3)]
        dataset.save_as(path)
    verification = verify(small.rs, ct)
    assert verification.images == 20
    assert verification.rois[0].volume_cc == pytest.approx(small.plain.rois[0].volume_cc, rel=1e-3)


def test_a_localiser_that_is_listed_is_there_and_one_that_a_contour_names_is_wrong(small, ct, tmp_path):
    uid = another(ct, "scout", turned(SAGITTAL, kind="LOCALIZER"))
    dataset = dcmread(small.rs)
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    listed = study.RTReferencedSeriesSequence[0].ContourImageSequence
    listed.append(Dataset())
    listed[-1].ReferencedSOPClassUID, listed[-1].ReferencedSOPInstanceUID = (
        listed[0].ReferencedSOPClassUID,
        uid,
    )
    contour = dataset.ROIContourSequence[0].ContourSequence[1]
    contour.ContourImageSequence[0].ReferencedSOPInstanceUID = uid
    dataset.save_as(tmp_path / "rs.dcm")
    assert set(told(verify(tmp_path / "rs.dcm", ct))) == {"images-left-out", "reference-wrong"}


@pytest.mark.parametrize("group", ["meta", "dataset"])
def test_a_dose_is_no_image_that_contours_could_be_drawn_on(small, ct, group):
    def edit(dataset: Dataset) -> None:
        if group == "meta":
            dataset.file_meta.MediaStorageSOPClassUID = RTDoseStorage
        else:
            dataset.SOPClassUID = RTDoseStorage
        dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "RTDOSE"

    another(ct, "dose", edit)
    assert not verify(small.rs, ct).objections


def test_a_deflated_ct_is_verified_as_it_is_segmented(small, ct, draw):
    for path in ct.iterdir():
        draw.encode(path, DeflatedExplicitVRLittleEndian)
    verification = verify(small.rs, ct)
    assert not verification.objections and verification.rois == small.plain.rois


def test_deflated_images_that_are_damaged_are_set_aside_and_told_without_their_files_names(small, ct, draw):
    paths = sorted(ct.iterdir())
    for path in paths:
        draw.encode(path, DeflatedExplicitVRLittleEndian)
    first = paths[4].rename(ct / "0000-Quasimodo.dcm")
    first.write_bytes(first.read_bytes()[:500])
    paths[9].write_bytes(paths[9].read_bytes()[:400] + bytes(40))
    verification = verify(small.rs, ct)
    assert verification.images == 18
    message = told(verification)["images-left-out"]
    assert message.startswith("2 images were left out: 2 damaged") and "(file 1, file 10, by name)" in message
    assert "Quasimodo" not in str(verification.as_json())


def test_other_deflated_objects_are_not_inflated(small, ct, draw, monkeypatch):
    asked: list = []
    monkeypatch.setattr(vendor_headers, "inflate_readable", lambda instances: asked.extend(instances) or [])
    shutil.copy(small.rs, ct / "rs")
    draw.encode(ct / "rs", DeflatedExplicitVRLittleEndian)
    assert not verify(small.rs, ct).objections and not asked


def test_a_multi_frame_ct_is_called_by_its_name(small, ct, draw, tmp_path):
    apart = Path(shutil.copytree(small.ct, tmp_path / "apart"))
    frames = draw.as_frames(apart)
    shutil.copy(frames, ct / "zzz")
    assert told(verify(small.rs, ct)) == {
        "images-left-out": "1 images were left out: 1 damaged, without a position, or of several frames "
        "(file 21, by name)."
    }
    with pytest.raises(NotCT, match=r"multi-frame images only \(Enhanced CT Image Storage\)") as refusal:
        verify(small.rs, apart)
    assert "one instance per slice" in refusal.value.remedy


def test_frames_below_one_position_are_no_slice(small, ct):
    def edit(dataset: Dataset) -> None:
        dataset.NumberOfFrames = 2
        dataset.PixelData *= 2

    another(ct, "frames", edit)
    verification = verify(small.rs, ct)
    assert verification.images == 20 and set(told(verification)) == {"images-left-out"}
