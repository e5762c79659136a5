"""Headers of stored objects, read when they are asked for: no patient's name has to lie in the database.

Files never change, so a header that was read is good until its file is gone.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement

from service.instance_header import PARSER_ERRORS

CACHED: Final = 8192  # of about 5 kB each
INLINE_BYTES: Final = 1024
BULK_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
PIXEL_DATA: Final = 0x7FE00010

STUDY_TAGS: Final = tuple(
    tag_for_keyword(name) or 0
    for name in (
        "SpecificCharacterSet StudyDate StudyTime AccessionNumber ReferringPhysicianName TimezoneOffsetFromUTC "
        "StudyDescription PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID"
    ).split()
)
SERIES_TAGS: Final = tuple(
    tag_for_keyword(name) or 0
    for name in (
        "Modality SeriesDescription SeriesInstanceUID SeriesNumber SeriesDate SeriesTime BodyPartExamined "
        "Manufacturer PatientPosition PerformedProcedureStepStartDate PerformedProcedureStepStartTime "
        "RequestAttributesSequence FrameOfReferenceUID"
    ).split()
)
INSTANCE_TAGS: Final = tuple(
    tag_for_keyword(name) or 0
    for name in (
        "SOPClassUID SOPInstanceUID InstanceNumber Rows Columns BitsAllocated NumberOfFrames "
        "StructureSetLabel StructureSetName StructureSetDate StructureSetTime ContentLabel DocumentTitle"
    ).split()
)
KNOWN_TAGS: Final = frozenset((*STUDY_TAGS, *SERIES_TAGS, *INSTANCE_TAGS))


def read_header(path: Path, more: frozenset[int] = frozenset()) -> Dataset | None:
    """The attributes that queries are about, and `more`; None for a file that is gone or damaged."""
    try:
        return _read(path, path.stat().st_mtime_ns, frozenset(KNOWN_TAGS | more))
    except OSError:
        return None


@lru_cache(maxsize=CACHED)
def _read(path: Path, _stamp: int, tags: frozenset[int]) -> Dataset | None:
    """`_stamp`, the file's time, makes another file of the same name another header."""
    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=sorted(tags))
    except PARSER_ERRORS:
        return None


def json_of(dataset: Dataset) -> dict[str, Any]:
    """The DICOM JSON model (PS3.18 F) of a header. An element whose value fits no JSON is left out."""
    found = {}
    for element in _readable(dataset):
        try:
            value = element.to_json_dict(None, 2**31)
            json.dumps(value, allow_nan=False)
        except PARSER_ERRORS:
            continue
        found[f"{element.tag:08X}"] = value
    return found


def metadata_of(path: Path, instance_url: str) -> dict[str, Any]:
    """The DICOM JSON model of a whole object; large binary values are links below `instance_url` (PS3.18 F.2.6)."""
    data = path.read_bytes()
    dataset = dcmread(BytesIO(data), stop_before_pixels=True)
    bulk = {
        f"{element.tag:08X}": {"vr": element.VR, "BulkDataURI": f"{instance_url}/bulkdata/{element.tag:08X}"}
        for element in _readable(dataset)
        if element.VR in BULK_VRS and len(element.value or b"") > INLINE_BYTES
    }
    for tag in bulk:
        del dataset[int(tag, 16)]
    if "Rows" in dataset:
        bulk[f"{PIXEL_DATA:08X}"] = {"vr": "OW", "BulkDataURI": f"{instance_url}/bulkdata/{PIXEL_DATA:08X}"}
    return dict(sorted({**json_of(dataset), **bulk}.items()))


def _readable(dataset: Dataset) -> Iterator[DataElement]:
    for tag in sorted(dataset.keys()):
        try:
            yield dataset[tag]
        except PARSER_ERRORS:
            continue
