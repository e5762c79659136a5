"""Array + Grid to a CT series on disk: phantoms, the demo, tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from worker.file_meta import file_meta
from worker.grid import Grid
from worker.uids import uid_from

RESCALE_INTERCEPT: Final = -1024
_POSITIONS: Final[dict[tuple[int, ...], str]] = {
    (1, 0, 0, 0, 1, 0): "HFS",
    (-1, 0, 0, 0, -1, 0): "HFP",
    (-1, 0, 0, 0, 1, 0): "FFS",
    (1, 0, 0, 0, -1, 0): "FFP",
    (0, 1, 0, -1, 0, 0): "HFDL",
    (0, -1, 0, 1, 0, 0): "HFDR",
}


@dataclass(frozen=True, kw_only=True)
class PatientIdentity:
    """Who a synthetic CT belongs to. Dates and times as DICOM writes them (DA, TM).

    `character_set` is the Specific Character Set in which name and id are written (PS3.3 C.12.1.1.2).
    """

    patient_id: str
    name: str
    birth_date: str = "19500101"
    sex: str = "M"
    study_id: str = "1"
    study_date: str = "20260101"
    study_time: str = "080000"
    accession_number: str = ""
    character_set: str | list[str] = "ISO_IR 192"


def write_ct_series(
    hu_zyx: NDArray[np.integer] | NDArray[np.floating],
    grid: Grid,
    folder: Path,
    *,
    patient: PatientIdentity,
    uid_seed: str,
    **overrides: object,
) -> list[Path]:
    """Write one CT Image Storage instance per slice (PS3.3 A.3).

    The same arguments give the same bytes.

    Args:
        hu_zyx: CT numbers (z, y, x) on `grid`; stored with intercept -1024, limited to -1024..31743 HU.
        grid: where the voxels lie; its frame of reference becomes the series' own.
        folder: created if absent; files are called `000001.dcm` onwards in slice order.
        patient: identity written into every instance.
        uid_seed: study, series and instance UIDs are derived from it.
        overrides: DICOM keywords set on every instance after all else; None deletes the attribute.
            `TransferSyntaxUID` chooses Implicit VR Little Endian.

    Returns:
        The files, in slice order.
    """
    if hu_zyx.shape != grid.shape_zyx:
        raise ValueError(f"array of shape {hu_zyx.shape} on a grid of shape {grid.shape_zyx}")
    folder.mkdir(parents=True, exist_ok=True)
    implicit = overrides.pop("TransferSyntaxUID", ExplicitVRLittleEndian) == ImplicitVRLittleEndian
    paths = []
    for index, slice_hu in enumerate(hu_zyx):
        dataset = _header(grid, patient, uid_seed)
        _add_slice(dataset, grid, index, slice_hu)
        dataset.SOPInstanceUID = uid_from(uid_seed, "instance", str(index))
        for keyword, value in overrides.items():
            _override(dataset, keyword, value)
        path = folder / f"{index + 1:06d}.dcm"
        _write(dataset, path, implicit=implicit)
        paths.append(path)
    return paths


def _header(grid: Grid, patient: PatientIdentity, uid_seed: str) -> Dataset:
    """What all slices share: patient, study, series, equipment, frame of reference."""
    ds = Dataset()
    ds.SpecificCharacterSet = patient.character_set
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = patient.study_date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = patient.study_time
    ds.AccessionNumber = patient.accession_number
    ds.Modality = "CT"
    ds.Manufacturer = "Penumbra"
    ds.ManufacturerModelName = "ct_writer"
    ds.ReferringPhysicianName = ""
    ds.BodyPartExamined = "PELVIS"
    ds.StudyDescription = "Pelvis"
    ds.SeriesDescription = "CT"
    ds.PatientName = patient.name
    ds.PatientID = patient.patient_id
    ds.PatientBirthDate = patient.birth_date
    ds.PatientSex = patient.sex
    ds.SliceThickness = _number(grid.spacing_mm[2])
    ds.KVP = "120"
    row, column = grid.direction[0::3], grid.direction[1::3]
    ds.PatientPosition = _POSITIONS.get(tuple(round(c) for c in (*row, *column)), "")
    ds.StudyInstanceUID = uid_from(uid_seed, "study")
    ds.SeriesInstanceUID = uid_from(uid_seed, "series")
    ds.StudyID = patient.study_id
    ds.SeriesNumber = "1"
    ds.AcquisitionNumber = "1"
    ds.ImageOrientationPatient = [_number(c) for c in (*row, *column)]
    ds.FrameOfReferenceUID = grid.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    return ds


def _add_slice(ds: Dataset, grid: Grid, index: int, slice_hu: NDArray[np.generic]) -> None:
    """Position, pixel module and pixels of one slice (y, x)."""
    position = grid.to_patient((0, 0, index))
    ds.InstanceNumber = str(index + 1)
    ds.ImagePositionPatient = [_number(c) for c in position]
    ds.SliceLocation = _number(position[2])
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = slice_hu.shape
    ds.PixelSpacing = [_number(grid.spacing_mm[1]), _number(grid.spacing_mm[0])]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(RESCALE_INTERCEPT), "1", "HU"
    stored = np.clip(np.rint(slice_hu), -1024, 31743).astype(np.int32) - RESCALE_INTERCEPT
    ds.PixelData = stored.astype("<i2").tobytes()


def _override(dataset: Dataset, keyword: str, value: object) -> None:
    if value is not None:
        setattr(dataset, keyword, value)
    elif keyword in dataset:
        delattr(dataset, keyword)


def _write(dataset: Dataset, path: Path, *, implicit: bool) -> None:
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = file_meta(
        dataset.get("SOPClassUID", CTImageStorage),
        dataset.get("SOPInstanceUID", uid_from(str(path.name))),
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian,
    )
    dcmwrite(path, dataset, enforce_file_format=True)


def _number(value: float) -> str:
    """A decimal string of at most 16 characters without exponent (PS3.5 6.2, VR DS)."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
