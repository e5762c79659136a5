"""Every file of others that is at hand goes through reading: it is read, or refused in words; none crashes."""

import shutil
from pathlib import Path

import pydicom
import pytest

from worker.errors import Rejected
from worker.series import read_series
from worker.verify import verify

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def outcome(folder):
    """The code of the refusal, or `read`. Anything but a reason in words fails."""
    try:
        read_series(folder)
    except Rejected as reason:
        assert len(reason.message.split()) > 4 and len(reason.remedy.split()) > 3
        return reason.code
    return "read"


def verified(rtstruct, images):
    """The code of the refusal, or `verified`. Anything but a reason in words fails."""
    try:
        verify(rtstruct, images).as_json()
    except Rejected as reason:
        assert len(reason.message.split()) > 4 and len(reason.remedy.split()) > 3
        return reason.code
    return "verified"


def alone(path, folder):
    folder.mkdir()
    shutil.copy(path, folder / path.name)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_every_file_of_the_real_data_is_read_or_refused_in_words(shared_data, tmp_path):
    files = sorted(p for p in shared_data.rglob("*") if p.is_file())
    ends = {path: outcome(alone(path, tmp_path / str(n))) for n, path in enumerate(files)}
    by_folder = {f: {e for p, e in ends.items() if f in p.parts} for f in ("rtstruct", "pelvis-labels")}
    assert by_folder == {"rtstruct": {"not-ct"}, "pelvis-labels": {"no-dicom"}}
    for folder in sorted((shared_data / "ct-geometry").iterdir()):
        assert outcome(folder) in {"tilted", "missing-slices", "duplicate-position"}, folder.name


@pytest.mark.filterwarnings("ignore")
def test_every_test_file_of_pydicom_is_read_or_refused_in_words(tmp_path):
    files = sorted(p for p in PYDICOM_FILES.rglob("*") if p.is_file())
    if not files:
        pytest.skip(f"pydicom came without its test files ({PYDICOM_FILES})")
    ends = {}
    for n, path in enumerate(files):
        ends[path.name] = outcome(alone(path, tmp_path / str(n)))
    assert ends["MR_small.dcm"] == ends["rtplan.dcm"] == "not-ct"
    assert ends["CT_small.dcm"] == "too-few-slices"


@pytest.mark.filterwarnings("ignore")
def test_every_test_file_of_pydicom_is_verified_or_refused_in_words(tmp_path):
    """Each as the structure set, against one CT; and each as the only file of the folder, for one structure set."""
    files = sorted(p for p in PYDICOM_FILES.rglob("*") if p.is_file())
    if not files:
        pytest.skip(f"pydicom came without its test files ({PYDICOM_FILES})")
    ct, rtstruct = alone(PYDICOM_FILES / "CT_small.dcm", tmp_path / "ct"), PYDICOM_FILES / "rtstruct.dcm"
    as_rtstruct = {path.name: verified(path, ct) for path in files}
    assert [name for name, end in as_rtstruct.items() if end != "not-rtstruct"] == ["rtstruct.dcm"]
    assert as_rtstruct["rtstruct.dcm"] == "verified"
    codes = {objection.code for objection in verify(rtstruct, ct).objections}
    assert codes >= {"other-patient", "other-study", "other-frame", "off-images"}, codes
    as_images = {p.name: verified(rtstruct, alone(p, tmp_path / str(n))) for n, p in enumerate(files)}
    assert set(as_images.values()) == {"verified", "no-dicom", "not-ct"}
    assert as_images["CT_small.dcm"] == as_images["MR_small.dcm"] == "verified"
    assert as_images["rtdose.dcm"] == as_images["rtplan.dcm"] == as_images["image_dfl.dcm"] == "no-dicom"
    assert as_images["SC_rgb_rle_2frame.dcm"] == "not-ct"
