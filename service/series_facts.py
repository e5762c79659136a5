"""What routing rules ask of a series, read from the headers of some of its instances."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from worker.unchecked_values import DAMAGED, numbers_of, text_of

READ_AT_MOST: Final = 9
_KEYWORDS: Final = {
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "study_description": "StudyDescription",
    "series_description": "SeriesDescription",
    "protocol": "ProtocolName",
    "station": "StationName",
}


@dataclass(frozen=True, kw_only=True)
class SeriesFacts:
    """A series as rules see it. Texts are empty where the attribute is absent. May quote a patient: do not log."""

    modality: str = ""
    body_part: str = ""
    study_description: str = ""
    series_description: str = ""
    protocol: str = ""
    station: str = ""
    sender: str = ""
    called: str = ""
    slices: int = 0
    thickness_mm: float | None = None

    def value(self, name: str) -> str | float | None:
        """The fact that the condition of that name is about."""
        found: str | float | None = getattr(self, name)
        return found


def facts_of(files: Sequence[Path], *, sender: str, called: str) -> SeriesFacts:
    """Read a series' facts. Where instances differ, as with a localiser among slices, most of them decide.

    Args:
        files: the series' DICOM files; some, spread over all, are read.
        sender: calling AE title of whoever sent it.
        called: AE title that the sender called.
    """
    headers = [header for file in _some(files) if (header := _header(file)) is not None]
    texts = {name: _most(text_of(h, keyword) for h in headers) for name, keyword in _KEYWORDS.items()}
    thickness = _most(str(number) for h in headers if (number := _thickness_mm(h)) is not None)
    return SeriesFacts(
        **texts,
        sender=sender,
        called=called,
        slices=len(files),
        thickness_mm=float(thickness) if thickness else None,
    )


def fact_names() -> tuple[str, ...]:
    """The names of all facts."""
    return tuple(field.name for field in fields(SeriesFacts))


def _some(files: Sequence[Path]) -> list[Path]:
    """At most `READ_AT_MOST` files, evenly spread."""
    step = max(1, -(-len(files) // READ_AT_MOST))
    return list(files[step // 2 :: step])


def _header(file: Path) -> Dataset | None:
    keywords: list[int | str | tuple[int, int] | object] = [*_KEYWORDS.values(), "SliceThickness"]
    try:
        return dcmread(file, stop_before_pixels=True, specific_tags=keywords)  # type: ignore[arg-type]
    except DAMAGED:
        return None


def _thickness_mm(header: Dataset) -> float | None:
    found = numbers_of(header, "SliceThickness", 1)
    return None if found is None else float(found[0])


def _most(values: Iterable[str]) -> str:
    counted = Counter(value for value in values if value).most_common(1)
    return counted[0][0] if counted else ""
