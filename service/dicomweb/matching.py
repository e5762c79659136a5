"""Attribute matching as queries ask for it (PS3.4 C.2.2.2, PS3.18 8.3.4.1)."""

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue

from service.problems import Problem

HEX_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
RANGED_VRS: Final = frozenset({"DA", "TM", "DT"})
UID_SEPARATOR: Final = re.compile(r"[,\\]")
MOST_UIDS: Final = 1000
MOST_CHARACTERS: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One attribute, perhaps within sequences, and the value it must match."""

    path: tuple[int, ...]
    vr: str
    value: str

    @property
    def uids(self) -> list[str]:
        """The UIDs of a list (PS3.4 C.2.2.2.2)."""
        return UID_SEPARATOR.split(self.value)[:MOST_UIDS]

    def holds(self, dataset: Dataset) -> bool:
        """Whether a dataset has a value that matches; an empty value matches everything."""
        if self.value in {"", "*"}:
            return True
        return any(self._matches(value) for value in _values(dataset, self.path))

    def _matches(self, value: str) -> bool:
        if self.vr == "UI":
            return value in self.uids
        if self.vr in RANGED_VRS and "-" in self.value:
            first, _, last = self.value.partition("-")
            return (not first or value[: len(first)] >= first) and (not last or value[: len(last)] <= last)
        if self.vr == "PN":  # without case, and a family name alone is enough
            names = (value.casefold(), value.casefold().partition("^")[0])
            return any(_pattern(self.value.casefold()).fullmatch(name) for name in names)
        return _pattern(self.value).fullmatch(value) is not None


def tag_path(name: str) -> tuple[int, ...]:
    """The tags of `PatientID`, `00100020` or `RequestAttributesSequence.ScheduledProcedureStepID`.

    Raises:
        Problem: 400, a part is no attribute.
    """
    tags = tuple(_tag(part) for part in name.split("."))
    if None in tags or len(tags) > 4:
        raise unknown_attribute()
    return tuple(tag for tag in tags if tag is not None)


def condition(name: str, value: str) -> Condition:
    """A query parameter as a condition.

    Raises:
        Problem: 400, its name is no attribute.
    """
    path = tag_path(name)
    try:
        vr = dictionary_VR(path[-1])
    except KeyError:
        vr = "LO"  # of a private attribute we know no more than its text
    return Condition(path=path, vr=vr, value=value[:MOST_CHARACTERS])


def unknown_attribute() -> Problem:
    """400: a parameter is none of ours and no attribute either. Its name came from the client: it is not repeated."""
    return Problem(
        400,
        "unknown-attribute",
        detail="A query parameter is no DICOM attribute.",
        remedy="Name attributes by keyword (PatientID) or by eight hexadecimal digits (00100020).",
    )


def _tag(part: str) -> int | None:
    return int(part, 16) if HEX_TAG.fullmatch(part) else tag_for_keyword(part)


def _values(dataset: Dataset, path: Sequence[int]) -> Iterator[str]:
    if path[0] not in dataset:
        return
    value = dataset[path[0]].value
    if len(path) > 1:
        items = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
        for item in items:
            if isinstance(item, Dataset):
                yield from _values(item, path[1:])
        return
    for each in value if isinstance(value, MultiValue | list) else [value]:
        yield "" if each is None else str(each)


@lru_cache(maxsize=256)
def _pattern(value: str) -> re.Pattern[str]:
    """`*` stands for any text, `?` for one character (PS3.4 C.2.2.2.4). fnmatch's patterns do not backtrack far."""
    return re.compile(fnmatch.translate(value.replace("[", "[[]")), re.DOTALL)
