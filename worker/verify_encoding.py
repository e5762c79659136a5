"""How an RTSTRUCT is encoded: transfer syntax, required attributes, values that keep to their representation."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RTStructureSetStorage
from pydicom.valuerep import validate_value

from worker.patient_study import REQUIRED
from worker.rtstruct_dataset import MAX_CONTOUR_DATA_BYTES
from worker.unchecked_values import DAMAGED, bytes_of, items_of, text_of
from worker.vendor_contours import VendorContour
from worker.verify_codes import Objection, shown_uid
from worker.verify_subject import Subject

MAX_LABEL: Final = 16
# PS3.3 A.19.3: modules that an RTSTRUCT must have. Type 1: with a value. Type 2: there, if only empty.
_TYPE_1: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StructureSetLabel",
    "StructureSetROISequence",
)
_TYPE_2: Final = (
    *REQUIRED,
    "SeriesNumber",
    "OperatorsName",
    "Manufacturer",
    "StructureSetDate",
    "StructureSetTime",
    "PositionReferenceIndicator",
)
_ITEMS: Final = {
    "StructureSetROISequence": (
        ("ROINumber", "ReferencedFrameOfReferenceUID"),
        ("ROIName", "ROIGenerationAlgorithm"),
    ),
    "ROIContourSequence": (("ReferencedROINumber",), ()),
    "RTROIObservationsSequence": (
        ("ObservationNumber", "ReferencedROINumber"),
        ("RTROIInterpretedType", "ROIInterpreter"),
    ),
}
_CONTOUR_TYPE_1: Final = ("ContourGeometricType", "NumberOfContourPoints", "ContourData")
_CONTOUR_DATA: Final = Tag("ContourData")
_LABEL: Final = Tag("StructureSetLabel")
# Their lengths and forms can be told from the bytes; others are long texts, binary, or judged elsewhere.
_CHECKED_VRS: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "SH", "TM", "UI"})
_TEXT_VRS: Final = frozenset({"LO", "SH"})  # counted in characters, which bytes of other alphabets are not
_DEEPEST: Final = 12


def encoding_objections(subject: Subject) -> Iterator[Objection]:
    """Everything that can be told without the images."""
    dataset = subject.structure_set.dataset
    yield from _syntax(dataset, subject.syntax)
    yield from _required(dataset)
    label = bytes_of(dataset, "StructureSetLabel") or b""
    if len(label.rstrip(b" \0")) > MAX_LABEL:
        yield Objection(code="label-length", message=f"The label has {len(label.rstrip())} characters.")
    if not text_of(dataset, "SeriesDescription"):
        yield Objection(code="no-series-description", message="Series Description is empty.")
    undated = [keyword for keyword in ("SeriesDate", "SeriesTime") if not text_of(dataset, keyword)]
    if undated:
        message = f"Empty or absent: {_listed(undated)}."
        yield Objection(code="no-series-date", message=message, count=len(undated))
    yield from _values(dataset)
    for laid in subject.rois:
        yield from _contour_data(laid.roi.contours, laid.shown)


def _syntax(dataset: Dataset, syntax: str) -> Iterator[Objection]:
    if not syntax:
        yield Objection(
            code="no-file-meta", message="The file has no transfer syntax in its meta information."
        )
    elif syntax == ExplicitVRBigEndian:
        yield Objection(code="big-endian", message="It is encoded in Explicit VR Big Endian.")
    elif syntax != ImplicitVRLittleEndian:
        yield Objection(code="explicit-vr", message="It is not encoded in Implicit VR Little Endian.")
    kind = text_of(dataset, "SOPClassUID")
    if kind and kind != RTStructureSetStorage:
        yield Objection(code="wrong-sop-class", message=f"Its SOP Class is {shown_uid(kind)}.")
    modality = text_of(dataset, "Modality")
    if modality not in {"", "RTSTRUCT"}:
        yield Objection(code="wrong-modality", message="Its Modality is not RTSTRUCT.")
    meta = getattr(dataset, "file_meta", Dataset())
    pairs = (("MediaStorageSOPClassUID", "SOPClassUID"), ("MediaStorageSOPInstanceUID", "SOPInstanceUID"))
    differing = [m for m, own in pairs if text_of(meta, m) not in {"", text_of(dataset, own)}]
    if differing:
        yield Objection(
            code="meta-differs",
            message=f"{_listed(differing)} in the meta information differ from the data set's.",
            count=len(differing),
        )


def _required(dataset: Dataset) -> Iterator[Objection]:
    missing: dict[str, Counter[str]] = {"missing-type-1": Counter(), "missing-type-2": Counter()}
    missing["missing-type-1"].update(k for k in _TYPE_1 if not _filled(dataset, k))
    missing["missing-type-2"].update(k for k in _TYPE_2 if k not in dataset)
    for sequence, (first, second) in _ITEMS.items():
        for item in items_of(dataset, sequence):
            missing["missing-type-1"].update(k for k in first if not _filled(item, k))
            missing["missing-type-2"].update(k for k in second if k not in item)
            for contour in items_of(item, "ContourSequence"):
                missing["missing-type-1"].update(k for k in _CONTOUR_TYPE_1 if not _filled(contour, k))
    for code, keywords in missing.items():
        if keywords:
            total = sum(keywords.values())
            yield Objection(code=code, message=f"Missing: {_listed(keywords)}.", count=total)


def _filled(item: Dataset, keyword: str) -> bool:
    """Whether an attribute has a value, whatever it is worth."""
    if keyword not in item:
        return False
    return bool(items_of(item, keyword)) or bool((bytes_of(item, keyword) or b"").strip(b" \0"))


def _values(dataset: Dataset) -> Iterator[Objection]:
    """Attributes whose values break their representation; only their names are told, for values may name people."""
    broken = Counter(_broken_values(dataset, _DEEPEST))
    if broken:
        yield Objection(
            code="bad-value",
            message=f"Not as the standard has it: {_listed(broken)}.",
            count=sum(broken.values()),
        )


def _broken_values(dataset: Dataset, depth: int) -> Iterator[str]:
    for tag in list(dataset.keys()) if depth else ():
        if tag == _CONTOUR_DATA or tag == _LABEL:
            continue
        try:
            element = dataset.get_item(tag)
            if isinstance(element, RawDataElement) and element.VR in {None, "SQ", "UN"}:
                element = _converted(dataset, element)
            if isinstance(element, DataElement) and isinstance(element.value, DicomSequence):
                for item in element.value:
                    yield from _broken_values(item, depth - 1)
            elif element is not None and not _is_valid(element):
                yield _name(element)
        except DAMAGED:
            yield keyword_for_tag(tag) or str(tag)


def _converted(dataset: Dataset, element: RawDataElement) -> RawDataElement | DataElement:
    """A sequence with its items; a text as its bytes under the representation that the dictionary has for it."""
    try:
        vr = dictionary_VR(element.tag)
    except KeyError:
        vr = "UN"
    return dataset[element.tag] if vr == "SQ" else element._replace(VR=vr)


def _is_valid(element: RawDataElement | DataElement) -> bool:
    vr = str(element.VR)
    if vr not in _CHECKED_VRS:
        return True
    if isinstance(element, RawDataElement):
        raw = element.value or b""
        values = [part.decode("latin-1").strip(" \0") for part in bytes(raw).split(b"\\")]
    else:
        value = element.value
        several = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
        values = ["" if part is None else str(part) for part in several]
    try:
        for value in values:
            if value and (value.isascii() or vr not in _TEXT_VRS):
                validate_value(vr, value, RAISE)
    except ValueError:
        return False
    return True


def _name(element: RawDataElement | DataElement) -> str:
    return keyword_for_tag(element.tag) or f"({element.tag.group:04X},{element.tag.element:04X})"


def _contour_data(contours: Sequence[VendorContour], shown: tuple[int | None, str]) -> Iterator[Objection]:
    long_numbers = sum(contour.long_numbers for contour in contours)
    if long_numbers:
        yield Objection(
            code="ds-length",
            message=f"{long_numbers} coordinates have more than 16 characters.",
            roi=shown,
            count=long_numbers,
        )
    too_long = [contour for contour in contours if contour.data_bytes > MAX_CONTOUR_DATA_BYTES]
    if too_long:
        longest = max(contour.data_bytes for contour in too_long)
        yield Objection(
            code="contour-data-length",
            message=f"{len(too_long)} contours have more than {MAX_CONTOUR_DATA_BYTES} bytes, up to {longest}.",
            roi=shown,
            count=len(too_long),
        )


def _listed(names: Counter[str] | list[str]) -> str:
    counts = Counter(names)
    shown = [name if n == 1 else f"{name} ({n} times)" for name, n in sorted(counts.items())]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")
