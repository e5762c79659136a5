"""Whose contours a report shows: read from the RTSTRUCT, which names patient and study as the CT does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

_READ: Final = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyDescription",
    "AccessionNumber",
    "StructureSetDate",
    "StructureSetTime",
    "SOPInstanceUID",
)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Patient, study and structure set in words; what the CT does not say is empty."""

    patient_name: str
    patient_id: str
    birth_date: str
    sex: str
    study_date: str
    study: str
    accession: str
    created: str
    rtstruct_uid: str


def read_identity(rtstruct: Path) -> Identity:
    """The identity in an RTSTRUCT; its contours are not read."""
    dataset = pydicom.dcmread(rtstruct, specific_tags=list(_READ))

    def text(name: str) -> str:
        return str(dataset.get(name) or "").strip()

    return Identity(
        patient_name=_name(dataset),
        patient_id=text("PatientID"),
        birth_date=_date(text("PatientBirthDate")),
        sex=text("PatientSex"),
        study_date=_date(text("StudyDate")),
        study=text("StudyDescription"),
        accession=text("AccessionNumber"),
        created=f"{_date(text('StructureSetDate'))} {_time(text('StructureSetTime'))}".strip(),
        rtstruct_uid=text("SOPInstanceUID"),
    )


def _name(dataset: Dataset) -> str:
    """Family name first, with the ideographic form beside it; whichever form there is (PS3.5 6.2.1)."""
    name = dataset.get("PatientName")
    if not isinstance(name, PersonName):
        return ""
    latin = name.family_comma_given().strip(" ,")
    ideographic = _group(name.ideographic)
    if latin and ideographic:
        return f"{latin} ({ideographic})"
    return latin or ideographic or _group(name.phonetic)


def _group(group: str) -> str:
    return " ".join(part for part in group.split("^") if part)


def _date(text: str) -> str:
    """`YYYYMMDD` as 2026-05-04; anything else as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text


def _time(text: str) -> str:
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 and text[:4].isdigit() else ""
