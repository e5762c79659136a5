"""Patient and study of a CT, byte for byte in the objects derived from it, and these objects' own identity."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from worker.series import CTSeries
from worker.software_version import SOFTWARE_VERSION
from worker.uids import uid_from

# What PACS and planning systems match by (PS3.3 C.7.1.1, C.7.2.1): required, if only empty (type 2).
REQUIRED: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
IF_PRESENT: Final = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDescription",
)


@dataclass(frozen=True, kw_only=True)
class ObjectIdentity:
    """What makes a derived object a particular one.

    Attributes:
        seed: text from which its SOP and series instance UIDs follow; the job and its revision, say.
        created: date and time written as creation. The same seed and time give the same bytes.
    """

    seed: str
    created: datetime


def copy_patient_and_study(header: Dataset, target: Dataset) -> None:
    """Copy who it is and which study, character set included, without decoding any of it."""
    for keyword in (*REQUIRED, *IF_PRESENT):
        if keyword in target:
            delattr(target, keyword)
    for keyword in (*IF_PRESENT, *REQUIRED):
        copy_undecoded(header, target, keyword, required=keyword in REQUIRED)


def copy_undecoded(source: Dataset, target: Dataset, keyword: str, *, required: bool) -> None:
    """Copy an attribute without decoding it, so that every character set survives.

    The VR is filled in, for a source in implicit VR has none and the target may need one.
    """
    tag = Tag(keyword)
    element = source.get_item(tag) if tag in source else None
    if isinstance(element, RawDataElement) and element.value:
        target[tag] = element._replace(VR=element.VR or dictionary_VR(tag))
    elif isinstance(element, DataElement) and not element.is_empty:
        target[tag] = element
    elif required:
        setattr(target, keyword, "")


def object_uids(series: CTSeries, identity: ObjectIdentity, kind: str) -> tuple[UID, UID]:
    """Series and SOP instance UID of one derived object; each kind is a series of its own."""
    seeds = (identity.seed, series.series_instance_uid, kind)
    return uid_from(*seeds, "series"), uid_from(*seeds, "instance")


def stamp(dataset: Dataset, series: CTSeries, identity: ObjectIdentity, *, description: str) -> None:
    """Give a derived object its patient, study, time and equipment (PS3.3 C.7.1 to C.7.5, C.12.1)."""
    copy_patient_and_study(series.headers[0], dataset)
    dataset.StudyInstanceUID = series.study_instance_uid
    dataset.SeriesDescription = description
    date, time = identity.created.strftime("%Y%m%d"), identity.created.strftime("%H%M%S")
    for kind in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{kind}Date", date)
        setattr(dataset, f"{kind}Time", time)
    dataset.Manufacturer = "Penumbra"
    dataset.ManufacturerModelName = "Penumbra"
    dataset.SoftwareVersions = SOFTWARE_VERSION
