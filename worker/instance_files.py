"""Files below a folder, in any order and under any name, to the headers of CT instances."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from worker.decode import Compressed, Spooled, inflate
from worker.errors import NoDicom, NotCT, UnreadableInstance
from worker.finding import Finding
from worker.transfer_syntaxes import BIG_ENDIAN, DEFLATED, PLUGINS, is_readable, refuse_syntax
from worker.unchecked_values import DAMAGED, file_meta_of, text_of

PIXEL_DATA: Final = (0x7FE0, 0x0010)
LOCALIZERS: Final = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"})
NAMED: Final = 3
_PICTURES: Final = (
    "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture, and with a point and a number its multi-frame kin
)
_MULTI_FRAME_CT: Final = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
_FIRST_TAGS: Final = {struct.pack("<HH", 8, e) for e in (0, 1, 5, 8, 0x12, 0x13, 0x14, 0x16, 0x18)}
_MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
# RT objects, structured reports, key objects, presentation states, registrations and segmentations,
# encapsulated documents: they accompany a CT in an export and are not images that could be mistaken for it.
COMPANIONS: Final = tuple(f"1.2.840.10008.5.1.4.1.1.{n}." for n in (481, 88, 11, 66, 104)) + (
    "1.2.840.10008.5.1.4.1.1.66",
)


@dataclass(frozen=True, kw_only=True)
class InstanceFile:
    """One DICOM file, read up to its pixels.

    Attributes:
        path: the file.
        label: how a message names the instance: its UID, or its place among the files. Never the file's name,
            which may hold a patient's.
        header: everything before Pixel Data; only UIDs where the data set is encoded in a way we do not read.
        transfer_syntax: UID of the encoding; None in a file without meta information.
        pixel_offset: byte at which the pixels begin, None if there are none.
        pixel_bytes: bytes of pixels that are really there, compressed ones included.
        damage: whether the header could not be read.
        inflated: the data set, if it was deflated; `pixel_offset` counts in it then, else in the file.
    """

    path: Path
    label: str
    header: Dataset
    transfer_syntax: str | None
    pixel_offset: int | None = None
    pixel_bytes: int = 0
    damage: bool = False
    inflated: Spooled | None = None

    @property
    def is_compressed(self) -> bool:
        """Whether the pixels must be decoded (PS3.5 A.4)."""
        return self.transfer_syntax in PLUGINS

    @property
    def byte_order(self) -> str:
        """Byte order of native pixels as numpy writes it."""
        return ">" if self.transfer_syntax == BIG_ENDIAN else "<"

    def text(self, keyword: str) -> str:
        """An attribute's value as text, empty where it is absent or cannot be read."""
        return text_of(self.header, keyword).strip()

    def native_pixels(self, size: int) -> bytes:
        """The first bytes of pixels that are not compressed."""
        start = self.pixel_offset or 0
        if self.inflated is not None:
            return self.inflated.read(size, start=start)
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID, empty if unknown."""
        return self.text("SOPClassUID")


def read_ct_headers(folder: Path) -> tuple[list[InstanceFile], list[Finding]]:
    """The CT image instances below a folder, with what was left out.

    Raises:
        NoDicom: no file is DICOM.
        NotCT: an image of another kind is among them, or nothing but companions and localisers.
        UnsupportedTransferSyntax: an instance is compressed with loss, or in a way that is not read.
        UnreadableInstance: a header is damaged, or a deflated instance cannot be inflated.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    dicom = [path for path in files if is_dicom(path)]
    if not dicom:
        raise NoDicom(f"None of the {len(files)} files is a DICOM instance." if files else None)
    total = len(dicom)
    instances = [_read(path, f"file {n} of {total}, by name") for n, path in enumerate(dicom, start=1)]
    instances = _inflate([i for i in instances if i.sop_class_uid != _MEDIA_DIRECTORY])
    images = [i for i in instances if not i.sop_class_uid.startswith(COMPANIONS)]
    localizers = [i for i in images if _is_localizer(i)]
    others = [i for i in images if not _is_localizer(i)]
    slices = [
        i for i in others if not _is_picture(i)
    ] or others  # nothing but pictures: they are what is refused
    pictures = [i for i in others if _is_picture(i)] if len(slices) < len(others) else []
    _check_kind(instances, images, slices)
    return slices, list(_left_out(len(files) - total, len(instances) - len(images), localizers, pictures))


def _check_kind(
    instances: list[InstanceFile], images: list[InstanceFile], slices: list[InstanceFile]
) -> None:
    """Raise for the first instance we cannot use; the cause that no resend can cure comes first."""
    for instance in slices:
        _check_ct(instance)
    if not images:
        kinds = sorted({UID(i.sop_class_uid).name for i in instances}) or ["a DICOMDIR"]
        raise NotCT(f"There is no CT image among the instances, only {', '.join(kinds)}.")
    if not slices:
        raise NotCT("There are only localisers (scout views) among the CT images.")
    for instance in slices:
        syntax = instance.transfer_syntax
        if syntax is not None and not is_readable(syntax) and not instance.damage:
            raise refuse_syntax(syntax, instance.label)
    for instance in slices:
        if instance.damage or instance.pixel_offset is None:
            raise UnreadableInstance(f"Instance {instance.label} is damaged or cut off before its pixels.")


def _check_ct(instance: InstanceFile) -> None:
    modality = str(instance.header.get("Modality", "CT") or "CT")
    kind = UID(instance.sop_class_uid or CTImageStorage)
    known = kind.name != kind
    if instance.damage or (instance.pixel_offset is None and not known):
        return  # cut off within its identity: what it is cannot be told, but that it is cut off can
    if kind != CTImageStorage or (modality != "CT" and instance.pixel_offset is not None):
        what = kind.name if kind != CTImageStorage and known else f"an image of modality {modality}"
        raise NotCT(
            f"Instance {instance.label} is {what}, not CT Image Storage.", remedy=_as_one_per_slice(kind)
        )
    if instance.text("NumberOfFrames").lstrip("0") not in {"", "1"}:
        raise NotCT(f"Instance {instance.label} holds several frames, which CT Image Storage does not allow.")


def _as_one_per_slice(kind: UID) -> str | None:
    """What to do about a multi-frame CT, for which the general remedy is too short."""
    if kind not in _MULTI_FRAME_CT:
        return None
    return (
        "Multi-frame CT is not read. Have the scanner or the PACS export the series as CT Image Storage, one "
        "instance per slice (often called classic, legacy or single-frame)."
    )


def _left_out(
    other_files: int, companions: int, localizers: list[InstanceFile], pictures: list[InstanceFile]
) -> Iterator[Finding]:
    if other_files:
        yield Finding(code="other-files", message=f"{other_files} files that are not DICOM were ignored.")
    if companions:
        yield Finding(
            code="other-objects", message=f"{companions} DICOM objects that are not images were ignored."
        )
    if localizers:
        message = f"{len(localizers)} localisers (scout views) were ignored: {name_some(localizers)}."
        yield Finding(code="localizers-left-out", message=message)
    if pictures:
        message = f"{len(pictures)} pictures (Secondary Capture) were ignored: {name_some(pictures)}."
        yield Finding(code="pictures-left-out", message=message)


def name_some(instances: list[InstanceFile]) -> str:
    """Instances as a message names them: the first three, and how many more."""
    named = ", ".join(i.label for i in instances[:NAMED])
    return named if len(instances) <= NAMED else f"{named} and {len(instances) - NAMED} more"


def _is_picture(instance: InstanceFile) -> bool:
    return f"{instance.sop_class_uid}.".startswith(f"{_PICTURES}.")


def _is_localizer(instance: InstanceFile) -> bool:
    """By Image Type value 3 (PS3.3 C.8.2.1.1.1), or what vendors write there."""
    kinds = instance.header.get("ImageType") or ()
    return any(
        str(kind).strip().upper() in LOCALIZERS for kind in ([kinds] if isinstance(kinds, str) else kinds)
    )


def is_dicom(path: Path) -> bool:
    """PS3.10 7.1, or a bare data set that starts with group 0008 as old exports do."""
    with path.open("rb") as file:
        head = file.read(132)
    return head[128:] == b"DICM" or head[:4] in _FIRST_TAGS


def _read(path: Path, place: str) -> InstanceFile:
    """Read one file up to its pixels; never raises for a damaged one."""
    meta = file_meta_of(path)
    syntax = text_of(meta, "TransferSyntaxUID") or None
    header = Dataset()
    _add_uids(header, meta)
    unread = InstanceFile(path=path, label=_label(header, place), header=header, transfer_syntax=syntax)
    if syntax is not None and not UID(syntax).is_transfer_syntax:
        return replace(unread, damage=True)  # an encoding that the standard does not know
    if not is_readable(syntax) or syntax == DEFLATED:
        # A deflated data set must not be inflated here: a few kilobytes may become gigabytes.
        return unread
    with path.open("rb") as file:
        return _parse(file, unread, meta, place)


def _inflate(instances: list[InstanceFile]) -> list[InstanceFile]:
    """Inflate what is deflated, all in one child process, and read its headers."""
    deflated = [
        i for i in instances if i.transfer_syntax == DEFLATED and not i.sop_class_uid.startswith(COMPANIONS)
    ]
    spooled = inflate([Compressed(path=i.path, label=i.label, syntax=DEFLATED) for i in deflated])
    read = {
        instance.path: replace(
            _parse(BytesIO(data.read()), instance, instance.header, instance.label), inflated=data
        )
        for instance, data in zip(deflated, spooled, strict=True)
    }
    return [read.get(instance.path, instance) for instance in instances]


def _parse(file: BinaryIO, unread: InstanceFile, meta: Dataset, place: str) -> InstanceFile:
    """Read a data set, with or without preamble and meta information, up to its pixels."""
    try:
        header = dcmread(file, stop_before_pixels=True, force=True)
        offset, size = _pixels(file, header)
        _add_uids(header, meta)
        label = _label(header, place)
        header.get("ImageType"), header.get("Modality"), header.get("NumberOfFrames")
    except DAMAGED:
        return replace(unread, damage=True)
    return replace(unread, label=label, header=header, pixel_offset=offset, pixel_bytes=size)


def _add_uids(header: Dataset, meta: Dataset) -> None:
    """Where the data set lacks its own UIDs, those of the meta group name it (PS3.10 7.1)."""
    for keyword, of_meta in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        known = text_of(meta, of_meta) or text_of(meta, keyword)
        if known and not text_of(header, keyword):
            setattr(header, keyword, known)


def _label(header: Dataset, place: str) -> str:
    uid = UID(text_of(header, "SOPInstanceUID"))
    return str(uid) if uid.is_valid else f"({place})"


def _pixels(file: BinaryIO, header: Dataset) -> tuple[int | None, int]:
    """Offset and bytes present of Pixel Data, at whose tag the file stands (PS3.5 7.1)."""
    is_implicit, is_little_endian = header.original_encoding
    order = "<" if is_little_endian else ">"
    head = file.read(8 if is_implicit else 12)
    if len(head) < 8 or struct.unpack(f"{order}HH", head[:4]) != PIXEL_DATA:
        return None, 0
    (length,) = struct.unpack(f"{order}I", head[-4:])
    offset = file.tell()
    present = file.seek(0, 2) - offset
    return offset, min(int(length), present)
