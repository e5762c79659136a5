"""Real RTSTRUCTs: verified on images that lie where they say, and on a CT that is not theirs; and a phantom's."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from worker.vendor_contours import read_structure_set
from worker.vendor_images import IDENTITY
from worker.verify import verify

# What each file is known for (by its origin's notes), beside what it lacks of type 2.
KNOWN = {
    "anon_breast_dicompyler": {"empty-roi"},
    "mim_7.0.3_phantom": {"type-missing"},
    "mim_7.0.3_invalid_reference": {"type-missing"},
    "mim_7.0.3_nonexistent_reference": {"type-missing", "no-image-list"},
    "pinnacle_9.6_dvh_cone": {"empty-roi"},
    "rtutils_generated": {"type-missing"},
}
STRANGERS = {"other-patient", "other-study", "other-frame", "reference-unknown"}
MISPLACED = {"off-slice", "off-images", "not-parallel", "not-planar", "outside-image", "reference-wrong"}


def files(shared_data):
    return {path.stem: path for path in sorted((shared_data / "rtstruct").glob("*.dcm"))}


def images_under(structure_set, folder) -> None:
    """Headers of images with the UIDs that the contours name, where the contours lie."""
    contours = [c for roi in structure_set.rois for c in roi.contours if len(c.points_mm)]
    points = np.concatenate([c.points_mm for c in contours])
    normal = int(np.argmin(np.median([np.ptp(c.points_mm, axis=0) for c in contours], axis=0)))
    along = [axis for axis in range(3) if axis != normal]
    series = {uid: name for uid, name in structure_set.listed_images().items()}
    for contour in {c.image_uids[0]: c for c in contours}.values():
        header = Dataset()
        for keyword in (*IDENTITY, "StudyInstanceUID"):
            if keyword in structure_set.dataset:
                header[keyword] = structure_set.dataset[keyword]
        position = points.min(axis=0) - 5
        position[normal] = contour.points_mm[0, normal]
        header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, contour.image_uids[0]
        header.SeriesInstanceUID = series.get(contour.image_uids[0]) or "1.2.3"
        frame = structure_set.dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID
        header.FrameOfReferenceUID, header.Modality = frame, "CT"
        header.ImagePositionPatient = [f"{v:.6g}" for v in position]
        header.ImageOrientationPatient = [int(v) for axis in along for v in np.eye(3)[axis]]
        header.PixelSpacing = [1, 1]
        size = np.ceil(np.ptp(points, axis=0)[along]).astype(int) + 10
        header.Columns, header.Rows = int(size[0]), int(size[1])
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dcmwrite(folder / f"{header.SOPInstanceUID}.dcm", header, enforce_file_format=True)


@pytest.mark.parametrize("name", KNOWN)
def test_on_images_that_lie_where_they_say_only_known_quirks_are_found(shared_data, tmp_path, name):
    path = files(shared_data)[name]
    images_under(read_structure_set(path), tmp_path)
    verification = verify(path, tmp_path)
    found = {objection.code for objection in verification.objections}
    assert KNOWN[name] <= found
    assert not found & (STRANGERS | MISPLACED), found & (STRANGERS | MISPLACED)
    assert "missing-type-2" in found
    assert any(roi.volume_cc for roi in verification.rois)


def test_all_are_known(shared_data):
    assert set(files(shared_data)) == set(KNOWN)


@pytest.mark.parametrize("name", ["mim_7.0.3_phantom", "pinnacle_9.6_dvh_cone", "rtutils_generated"])
def test_on_anothers_ct_every_link_is_missed(shared_data, name):
    verification = verify(
        files(shared_data)[name], shared_data / "ct-geometry" / "gantry_tilt_siemens_4slices"
    )
    assert {objection.code for objection in verification.objections} >= STRANGERS
    dataset = dcmread(files(shared_data)[name], force=True)
    text = str(verification.as_json())
    for keyword in ("PatientID", "PatientBirthDate"):
        value = str(dataset.get(keyword, "") or "")
        assert len(value) < 4 or value not in text


def test_a_phantoms_truth_is_clean(phantom_case):
    verification = verify(phantom_case / "truth.dcm", phantom_case / "ct")
    assert verification.clean, verification.objections
