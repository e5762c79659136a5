"""What a folder of trained variants remembers: the lessons it was begun with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.whole_file import digest, write_whole


class OtherLessons(ValueError):
    """The run folder's networks learn from other cases or by another recipe than what is asked for now."""


def keep_to_lessons(file: Path, lessons: Mapping[str, Any]) -> None:
    """Refuse a folder whose networks learn from something else: resumed, they would be neither the one nor the other.

    Cases that are now held out might be among those that they have seen.
    """
    text = json.dumps(lessons, indent=1)
    if file.exists():
        begun, wanted = json.loads(file.read_text()), json.loads(text)
        if other := [name for name in wanted if begun[name] != wanted[name]]:
            raise OtherLessons(f"{file.parent} was begun with other {', '.join(other)}; take a new folder")
    write_whole(file, text)


def digests(cases: Sequence[Path]) -> list[list[str]]:
    """Name and content of each case: one that was corrected is another."""
    return [[path.name, digest(path)] for path in cases]


def finite(value: object) -> object:
    """NaN as None, however deep: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
