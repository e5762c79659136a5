"""Which objects there are besides the RTSTRUCT, and the files of a result folder that hold them."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, NamedTuple

ExtraKind = Literal["seg", "sr", "pdf", "nifti"]
SentKind = Literal["rtstruct", "seg", "sr", "pdf"]
EXTRA_KINDS: Final[tuple[ExtraKind, ...]] = ("seg", "sr", "pdf", "nifti")

RTSTRUCT_NAME: Final = "rtstruct.dcm"
MEAN_SEG_NAME: Final = "seg-mean.dcm"
BAND_SEG_NAME: Final = "seg-band.dcm"
SR_NAME: Final = "sr.dcm"
REPORT_NAME: Final = "report.dcm"
PAGE_NAME: Final = "report.pdf"

# The patterns a file of each kind follows, in the order in which objects are listed.
_PATTERNS: Final = (
    ("rtstruct", re.compile(r"rtstruct(-[0-9a-f]{8})?\.dcm")),
    ("seg", re.compile(r"seg-(mean|band)\.dcm")),
    ("sr", re.compile(r"sr\.dcm")),
    ("pdf", re.compile(r"report\.(dcm|pdf)")),
    ("nifti", re.compile(r"nifti-\w+-(mean|lower|upper|probability)\.nii\.gz")),
)


class ObjectFile(NamedTuple):
    """A file of a result folder that holds an object."""

    name: str
    kind: str
    path: Path


def template_name(key: str) -> str:
    """The file of the RTSTRUCT that is written by the template of that key."""
    return f"rtstruct-{key}.dcm"


def nifti_name(structure: str, kind: str) -> str:
    """The file of a structure's mask or probability."""
    return f"nifti-{structure}-{kind}.nii.gz"


def files_of(kinds: Iterable[SentKind], *, rtstruct: str, folder: Path) -> tuple[Path, ...]:
    """The DICOM files of a result folder that hold objects of these kinds, the RTSTRUCT first.

    A segmentation of a band that does not exist was not written, so it is not among them.
    """
    wanted = set(kinds)
    first = [folder / rtstruct] if "rtstruct" in wanted else []
    others = [
        each.path
        for each in objects_in(folder)
        if each.kind in wanted and each.kind != "rtstruct" and each.name.endswith(".dcm")
    ]
    return (*first, *others)


def objects_in(folder: Path) -> list[ObjectFile]:
    """Every object of a result folder, the RTSTRUCTs first."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [
        ObjectFile(name, kind, folder / name)
        for kind, pattern in _PATTERNS
        for name in names
        if pattern.fullmatch(name)
    ]
