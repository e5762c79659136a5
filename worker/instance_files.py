"""Files below a folder, in any order and under any name, to the headers of CT instances."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from worker.errors import NoDicom, NotCT, UnreadableInstance, UnsupportedTransferSyntax
from worker.finding import Finding

PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"
_NATIVE: Final = {None, str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)}
_FIRST_TAGS: Final = {struct.pack("<HH", 8, e) for e in (0, 1, 5, 8, 0x12, 0x13, 0x14, 0x16, 0x18)}
_MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
# RT objects, structured reports, key objects, presentation states, registrations and segmentations,
# encapsulated documents: they accompany a CT in an export and are not images that could be mistaken for it.
COMPANIONS: Final = tuple(f"1.2.840.10008.5.1.4.1.1.{n}." for n in (481, 88, 11, 66, 104)) + (
    "1.2.840.10008.5.1.4.1.1.66",
)
# What pydicom raises on damaged files, collected over truncations and bit flips.
DAMAGED: Final = (
    InvalidDicomError,
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
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
        pixel_bytes: bytes of pixels that are really there.
        damage: whether the header could not be read.
    """

    path: Path
    label: str
    header: Dataset
    transfer_syntax: str | None
    pixel_offset: int | None = None
    pixel_bytes: int = 0
    damage: bool = False

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID, empty if unknown."""
        return str(self.header.get("SOPClassUID", "") or "")


def read_ct_headers(folder: Path) -> tuple[list[InstanceFile], list[Finding]]:
    """The CT image instances below a folder, with what was left out.

    Raises:
        NoDicom: no file is DICOM.
        NotCT: an image of another kind is among them, or nothing but companions and localisers.
        UnsupportedTransferSyntax: an instance is not plain little endian.
        UnreadableInstance: a header is damaged.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    dicom = [path for path in files if is_dicom(path)]
    if not dicom:
        raise NoDicom(f"None of the {len(files)} files is a DICOM instance." if files else None)
    total = len(dicom)
    instances = [_read(path, f"file {n} of {total}, by name") for n, path in enumerate(dicom, start=1)]
    instances = [i for i in instances if i.sop_class_uid != _MEDIA_DIRECTORY]
    images = [i for i in instances if not i.sop_class_uid.startswith(COMPANIONS)]
    slices = [i for i in images if not _is_localizer(i)]
    _check_kind(instances, images, slices)
    return slices, list(
        _left_out(len(files) - total, len(instances) - len(images), len(images) - len(slices))
    )


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
        if syntax is not None and syntax not in _NATIVE and not instance.damage:
            name = UID(syntax).name
            raise UnsupportedTransferSyntax(f"Instance {instance.label} is encoded as {name}.")
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
        raise NotCT(f"Instance {instance.label} is {what}, not CT Image Storage.")
    if int(instance.header.get("NumberOfFrames", 1) or 1) > 1:
        raise NotCT(f"Instance {instance.label} holds several frames, which CT Image Storage does not allow.")


def _left_out(other_files: int, companions: int, localizers: int) -> Iterator[Finding]:
    if other_files:
        yield Finding(code="other-files", message=f"{other_files} files that are not DICOM were ignored.")
    if companions:
        yield Finding(
            code="other-objects", message=f"{companions} DICOM objects that are not images were ignored."
        )
    if localizers:
        yield Finding(
            code="localizers-left-out", message=f"{localizers} localisers (scout views) were ignored."
        )


def _is_localizer(instance: InstanceFile) -> bool:
    return "LOCALIZER" in (instance.header.get("ImageType") or ())


def is_dicom(path: Path) -> bool:
    """PS3.10 7.1, or a bare data set that starts with group 0008 as old exports do."""
    with path.open("rb") as file:
        head = file.read(132)
    return head[128:] == b"DICM" or head[:4] in _FIRST_TAGS


def _read(path: Path, place: str) -> InstanceFile:
    """Read one file up to its pixels; never raises for a damaged one."""
    meta = _meta(path)
    syntax = str(meta.get("TransferSyntaxUID", "") or "") or None
    if syntax is not None and syntax not in _NATIVE and UID(syntax).is_transfer_syntax:
        # A deflated data set must not be inflated here: a few kilobytes may become gigabytes.
        header = Dataset()
        _add_uids(header, meta)
        return InstanceFile(path=path, label=_label(header, place), header=header, transfer_syntax=syntax)
    try:
        if syntax not in _NATIVE:
            raise InvalidDicomError("an encoding that the standard does not know")
        with path.open("rb") as file:
            header = dcmread(file, stop_before_pixels=True, force=True)
            offset, size = _pixels(file, is_implicit=bool(header.original_encoding[0]))
        _add_uids(header, meta)
        label, damage = _label(header, place), False
        header.get("ImageType"), header.get("Modality"), header.get("NumberOfFrames")
    except DAMAGED:
        header, offset, size, damage = Dataset(), None, 0, True
        _add_uids(header, meta)
        label = _label(header, place)
    return InstanceFile(
        path=path,
        label=label,
        header=header,
        transfer_syntax=syntax,
        pixel_offset=offset,
        pixel_bytes=size,
        damage=damage,
    )


def _meta(path: Path) -> FileMetaDataset | Dataset:
    try:
        return read_file_meta_info(path)
    except DAMAGED:
        return Dataset()


def _add_uids(header: Dataset, meta: Dataset) -> None:
    """Where the data set lacks its own UIDs, those of the meta group name it (PS3.10 7.1)."""
    for keyword, of_meta in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        if not header.get(keyword) and meta.get(of_meta):
            setattr(header, keyword, meta.get(of_meta))


def _label(header: Dataset, place: str) -> str:
    uid = UID(str(header.get("SOPInstanceUID", "") or ""))
    return str(uid) if uid.is_valid else f"({place})"


def _pixels(file: BinaryIO, *, is_implicit: bool) -> tuple[int | None, int]:
    """Offset and bytes present of Pixel Data, at whose tag the file stands (PS3.5 7.1)."""
    head = file.read(8 if is_implicit else 12)
    if len(head) < 8 or head[:4] != PIXEL_DATA:
        return None, 0
    (length,) = struct.unpack("<I", head[-4:])
    offset = file.tell()
    present = file.seek(0, 2) - offset
    return offset, min(int(length), present)
