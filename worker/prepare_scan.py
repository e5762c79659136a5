"""A tree of files of many patients to its CT series and structure sets, and which belongs to which.

Only what identifies an instance is read of images, so that a tree of any size costs little memory. Nothing that is kept
here names a patient, beside the files' paths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, CTImageStorage, DeflatedExplicitVRLittleEndian, RTStructureSetStorage

from models.whole_file import digest
from worker.instance_files import COMPANIONS, is_dicom
from worker.unchecked_values import DAMAGED

OnFile = Callable[[int, int], None]
MAX_STRUCTURE_SET_BYTES: Final = 500_000_000
_SERIES: Final = Tag("SeriesInstanceUID")
_IDENTITY: Final[list[BaseTag | int]] = [
    Tag(keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
]
_MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, kw_only=True)
class CtFiles:
    """The files of one CT series: paths, and the SOP Instance UID of each."""

    series_instance_uid: str
    paths: list[Path] = field(default_factory=list)
    sop_instance_uids: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class StructureSetFile:
    """What an RTSTRUCT refers to.

    Attributes:
        path: the file.
        sop_instance_uid: its own UID.
        series: series that it names (RT Referenced Series Sequence).
        instances: images that it or its contours name.
        frames: frames of reference that it or its ROIs name.
        sha256: of the file.
    """

    path: Path
    sop_instance_uid: str
    series: frozenset[str]
    instances: frozenset[str]
    frames: frozenset[str]
    sha256: str


@dataclass(kw_only=True)
class Tree:
    """What lies below a folder.

    Attributes:
        ct: CT series by Series Instance UID.
        structure_sets: RTSTRUCTs that could be read.
        other_images: per series of images that are not CT, what they are and how many.
        other_objects: per kind of other DICOM objects, how many.
        not_dicom, unreadable: files that are no DICOM, and damaged or deflated ones.
    """

    ct: dict[str, CtFiles] = field(default_factory=dict)
    structure_sets: list[StructureSetFile] = field(default_factory=list)
    other_images: Counter[tuple[str, str]] = field(default_factory=Counter)
    other_objects: Counter[str] = field(default_factory=Counter)
    not_dicom: int = 0
    unreadable: int = 0


def scan(folder: Path, *, on_file: OnFile) -> Tree:
    """Sort the files below a folder; hidden ones are passed over."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    tree = Tree()
    for number, path in enumerate(files, start=1):
        try:
            _add(tree, path)
        except DAMAGED:
            tree.unreadable += 1
        on_file(number, len(files))
    return tree


def assign(tree: Tree) -> tuple[dict[str, list[tuple[StructureSetFile, str]]], list[StructureSetFile]]:
    """Which structure sets belong to which CT series.

    Returns:
        Per CT series its structure sets, each with the rule that brought it there; and those whose CT is not there.
    """
    by_instance = {uid: ct.series_instance_uid for ct in tree.ct.values() for uid in ct.sop_instance_uids}
    frames = _frames(tree)
    assigned: dict[str, list[tuple[StructureSetFile, str]]] = {uid: [] for uid in tree.ct}
    lost = []
    for structure_set in _without_copies(tree.structure_sets):
        owners, rule = _owners(structure_set, tree, by_instance, frames)
        for series in owners:
            assigned[series].append((structure_set, rule))
        if not owners:
            lost.append(structure_set)
    return assigned, lost


def _owners(
    structure_set: StructureSetFile,
    tree: Tree,
    by_instance: Mapping[str, str],
    frames: Mapping[str, list[str]],
) -> tuple[list[str], str]:
    """The CT series of a structure set, by the first rule that finds one."""
    named = sorted(structure_set.series & set(tree.ct))
    if named:
        return named, "it names the series"
    through = sorted({by_instance[uid] for uid in structure_set.instances if uid in by_instance})
    if through:
        return through, "it names images of the series"
    shared = [series for frame in sorted(structure_set.frames) for series in frames.get(frame, [])]
    return (shared, "it shares the frame of reference") if len(shared) == 1 else ([], "")


def _frames(tree: Tree) -> dict[str, list[str]]:
    """Per frame of reference its CT series; asked only where references do not help, so read here, one slice each."""
    needed = {frame for s in tree.structure_sets if not s.series & set(tree.ct) for frame in s.frames}
    frames: dict[str, list[str]] = {}
    for ct in tree.ct.values() if needed else ():
        try:
            header = dcmread(ct.paths[0], stop_before_pixels=True, specific_tags=["FrameOfReferenceUID"])
            frames.setdefault(str(header.get("FrameOfReferenceUID", "")), []).append(ct.series_instance_uid)
        except DAMAGED:
            continue
    return frames


def _without_copies(structure_sets: Sequence[StructureSetFile]) -> list[StructureSetFile]:
    """The same file is often exported twice, once with each CT."""
    return list({s.sha256: s for s in structure_sets}.values())


def _add(tree: Tree, path: Path) -> None:
    if not is_dicom(path):
        tree.not_dicom += 1
        return
    header = _identity(path)
    kind, series = str(header.get("SOPClassUID", "")), str(header.get("SeriesInstanceUID", "") or "")
    if kind == RTStructureSetStorage:
        tree.structure_sets.append(_structure_set(path))
    elif kind == CTImageStorage:
        ct = tree.ct.setdefault(series, CtFiles(series_instance_uid=series))
        ct.paths.append(path)
        ct.sop_instance_uids.append(str(header.get("SOPInstanceUID", "")))
    elif kind.startswith(COMPANIONS) or kind in {"", _MEDIA_DIRECTORY}:
        tree.other_objects[UID(kind).name if kind else "objects of unknown kind"] += 1
    else:
        tree.other_images[series, UID(kind).name] += 1


def _identity(path: Path) -> Dataset:
    """The UIDs of an instance, in whatever encoding; of a deflated one only those of the meta group.

    A deflated data set must not be inflated here: a few kilobytes may become gigabytes.
    """
    try:
        meta: Dataset = read_file_meta_info(path)
    except DAMAGED:
        meta = Dataset()
    header = Dataset()
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        with path.open("rb") as file:
            header = read_partial(file, stop_when=_after_series, specific_tags=_IDENTITY, force=True)
    for keyword, of_meta in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        if not header.get(keyword):
            setattr(header, keyword, str(meta.get(of_meta, "")))
    return header


def _after_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag > _SERIES)


def _structure_set(path: Path) -> StructureSetFile:
    if path.stat().st_size > MAX_STRUCTURE_SET_BYTES:
        raise ValueError("no structure set is that large")
    dataset = dcmread(path, force=True)
    series, instances, frames = set(), set(), set()
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        frames.add(str(frame.get("FrameOfReferenceUID", "")))
        for study in frame.get("RTReferencedStudySequence") or ():
            for referenced in study.get("RTReferencedSeriesSequence") or ():
                series.add(str(referenced.get("SeriesInstanceUID", "")))
                instances |= set(_image_uids(referenced))
    for roi in dataset.get("StructureSetROISequence") or ():
        frames.add(str(roi.get("ReferencedFrameOfReferenceUID", "")))
    for roi in dataset.get("ROIContourSequence") or ():
        for contour in roi.get("ContourSequence") or ():
            instances |= set(_image_uids(contour))
    frames.add(str(dataset.get("FrameOfReferenceUID", "")))
    return StructureSetFile(
        path=path,
        sop_instance_uid=str(dataset.get("SOPInstanceUID", "")),
        series=frozenset(series - {""}),
        instances=frozenset(instances - {""}),
        frames=frozenset(frames - {""}),
        sha256=digest(path),
    )


def _image_uids(item: Dataset) -> Iterator[str]:
    for image in item.get("ContourImageSequence") or ():
        yield str(image.get("ReferencedSOPInstanceUID", ""))
