"""Which ROI of a structure set is which of our structures: a map of names and patterns, and its reading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from models.structures import STRUCTURES

DEFAULT_FILE: Final = Path(__file__).with_name("prepare_roi_map.yaml")
_SEPARATORS: Final = re.compile(r"[\s_.\-]+")


class RoiMapError(ValueError):
    """A map that cannot be read; the text says what is wrong with it."""


class InOrder(BaseModel):
    """Entries of which the first that matches an ROI decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: list[str]


_FILE: Final = TypeAdapter(dict[str, list[str] | InOrder])


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the map: a name, or a pattern between slashes."""

    text: str

    @property
    def rule(self) -> str:
        """The line as the report names it."""
        return f"pattern {self.text}" if self.is_pattern else f"name {self.text}"

    @property
    def is_pattern(self) -> bool:
        """Whether it is a regular expression."""
        return len(self.text) > 2 and self.text.startswith("/") and self.text.endswith("/")

    def matches(self, roi_name: str) -> bool:
        """Whether the whole of an ROI name is what the line says, ignoring case."""
        if self.is_pattern:
            return re.fullmatch(self.text[1:-1], roi_name.strip(), re.IGNORECASE) is not None
        return plain(self.text) == plain(roi_name)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The ROIs of a structure set that the map takes for one structure.

    Attributes:
        rois: indices of the ROIs; none, one, or several if the map does not decide.
        rules: per ROI the entry that matched.
    """

    rois: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RoiMap:
    """Per structure its entries.

    Attributes:
        entries: of each of `STRUCTURES`; empty where the structure is not to be taken.
        in_order: structures whose entries stand in order of preference.
    """

    entries: Mapping[str, tuple[Entry, ...]]
    in_order: frozenset[str] = frozenset()

    def find(self, roi_names: Sequence[str]) -> dict[str, Found]:
        """Which ROIs are which structure.

        Args:
            roi_names: names of a structure set's ROIs that have contours; the same name may occur twice.
        """
        return {name: self._find(name, roi_names) for name in self.entries}

    def _find(self, structure: str, roi_names: Sequence[str]) -> Found:
        matches = list(self._matches(structure, roi_names))
        if structure in self.in_order and matches:
            best = min(place for place, _ in matches)
            matches = [match for match in matches if match[0] == best]
        by_roi = {roi: self.entries[structure][place].rule for place, roi in reversed(matches)}
        return Found(rois=tuple(sorted(by_roi)), rules=tuple(by_roi[roi] for roi in sorted(by_roi)))

    def _matches(self, structure: str, roi_names: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Place of the entry and index of the ROI, in the entries' order."""
        for place, entry in enumerate(self.entries[structure]):
            for roi, name in enumerate(roi_names):
                if entry.matches(name):
                    yield place, roi


def read_roi_map(file: Path | None = None) -> RoiMap:
    """The default map, with a clinic's own laid over it.

    Args:
        file: YAML or JSON (which is YAML too); None for the default alone.

    Raises:
        RoiMapError: the file is no map, names a structure that does not exist, or has a pattern that is none.
    """
    stored = _parse(DEFAULT_FILE) | (_parse(file) if file else {})
    entries = {
        structure: tuple(Entry(text=text) for text in (lines.first if isinstance(lines, InOrder) else lines))
        for structure, lines in stored.items()
    }
    for entry in (entry for lines in entries.values() for entry in lines):
        _check(entry)
    ordered = frozenset(name for name, lines in stored.items() if isinstance(lines, InOrder))
    return RoiMap(entries=entries, in_order=ordered)


def plain(name: str) -> str:
    """A name without case and separators, as names are compared."""
    return _SEPARATORS.sub("", name.casefold())


def _parse(file: Path) -> dict[str, list[str] | InOrder]:
    try:
        stored = _FILE.validate_python(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RoiMapError(f"{file.name} cannot be read as YAML or JSON: {error}") from None
    except ValidationError as error:
        where = ", ".join(sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]}))
        raise RoiMapError(
            f"{file.name} is not a map of structures to lists of names{f', see {where}' if where else ''}. "
            "Put names that YAML reads as numbers or as yes and no into quotes."
        ) from None
    known = [structure.name for structure in STRUCTURES]
    unknown = sorted(set(stored) - set(known))
    if unknown:
        raise RoiMapError(f"{file.name} names {', '.join(unknown)}; the structures are {', '.join(known)}.")
    return stored


def _check(entry: Entry) -> None:
    if not plain(entry.text):
        raise RoiMapError("The map has an entry without a letter.")
    if entry.is_pattern:
        try:
            re.compile(entry.text[1:-1])
        except re.error as error:
            raise RoiMapError(f"The pattern {entry.text} is none: {error}.") from None
