"""CT series that cost nothing to make: small slices, or full ones of noise, as pydicom datasets."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

SMALL = 16
MARKER = "ZZPHIMARK"
"""Stands for a patient's name and number; it may be found in the inbox and nowhere else."""


def new_series_uid() -> str:
    """A UID that was never used (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def make_series(
    slices: int, *, series_uid: str | None = None, matrix: int = SMALL, seed: int = 0
) -> list[Dataset]:
    """A series of `slices` axial slices of `matrix`² 16-bit pixels; the same seed gives the same pixels."""
    uid = series_uid or new_series_uid()
    drawn = random.Random(seed)
    return [
        _slice(uid, number, drawn.randbytes(2 * matrix * matrix), matrix) for number in range(1, slices + 1)
    ]


def _slice(series_uid: str, number: int, pixels: bytes, matrix: int) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = new_series_uid()
    dataset.SeriesInstanceUID = dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = series_uid
    dataset.Modality, dataset.InstanceNumber = "CT", number
    dataset.PatientName, dataset.PatientID = f"{MARKER}^Fault", MARKER
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 3 * number], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [1, 1]
    dataset.Rows = dataset.Columns = matrix
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def uid_of(series: Sequence[Dataset]) -> str:
    """The Series Instance UID."""
    return str(series[0].SeriesInstanceUID)
