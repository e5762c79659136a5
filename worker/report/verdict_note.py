"""What a reviewer said of a structure, as the report shows it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

GRADES: Final = (
    ("usable-as-is", "usable as is"),
    ("minor", "minor edits"),
    ("major", "major edits"),
    ("not-usable", "not usable"),
)


@dataclass(frozen=True, kw_only=True)
class VerdictNote:
    """One of the four grades with its note, who gave it, and when (UTC)."""

    structure: str
    grade: str
    note: str
    reviewer: str
    at: datetime
