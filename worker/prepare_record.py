"""What `penumbra prepare` reports: per series and structure what was taken, what was left out, and why.

Nothing here names a patient: series and structure sets are named by their UIDs, cases by a number. ROI names are as the
clinic wrote them, without the words that are the patient's.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from worker.job_folder import write_atomically

ANYWHERE: Final = 5  # letters; "Pen" is part of PenileBulb before it is part of anybody's name


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Reason(_Record):
    """Why something was left out, or what is odd about what was not."""

    code: str
    message: str


class StructureRecord(_Record):
    """One of our structures in one case."""

    structure: str
    taken: bool
    roi: str | None = None
    rule: str | None = None
    volume_cc: float | None = None
    slices: int | None = None
    reason: Reason | None = None
    findings: tuple[Reason, ...] = ()


class StructureSetRecord(_Record):
    """One RTSTRUCT."""

    sop_instance_uid: str
    used: bool
    rule: str | None = None
    reason: Reason | None = None


class CaseRecord(_Record):
    """One CT series that has a structure set.

    `training` and `evaluation` say whether there is a prepared case and an evaluation folder. `reason` says why there
    is no training case; there may be an evaluation folder nevertheless.
    """

    case: str
    series_instance_uid: str
    training: bool = False
    evaluation: bool = False
    reason: Reason | None = None
    findings: tuple[Reason, ...] = ()
    structure_sets: tuple[StructureSetRecord, ...] = ()
    structures: tuple[StructureRecord, ...] = ()
    unmatched_rois: tuple[str, ...] = ()
    fingerprint: str = ""


class SeriesRecord(_Record):
    """A series that is no case."""

    series_instance_uid: str
    instances: int
    reason: Reason


class Report(_Record):
    """The whole run."""

    command: str
    not_dicom_files: int
    unreadable_files: int
    other_objects: dict[str, int]
    other_series: tuple[SeriesRecord, ...]
    structure_sets_without_ct: tuple[StructureSetRecord, ...]
    cases: tuple[CaseRecord, ...]
    roi_map: dict[str, list[str]]


def write_record(record: BaseModel, path: Path) -> None:
    """Write a record so that it is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False)
    write_atomically(path, f"{text}\n".encode())


def read_cases(folder: Path) -> dict[str, CaseRecord]:
    """The records of an earlier run, by Series Instance UID."""
    records = (
        CaseRecord.model_validate_json(file.read_text()) for file in sorted(folder.glob("case-*.json"))
    )
    return {record.series_instance_uid: record for record in records}


def without_patient(name: str, words: Iterable[str]) -> str:
    """An ROI name without the patient's name and number: short words where they stand alone, longer ones anywhere."""
    for word in sorted(words, key=len, reverse=True):
        pattern = re.escape(word)
        if len(word) < ANYWHERE:
            pattern = rf"(?<![^\W_]){pattern}(?![^\W_])"
        name = re.sub(pattern, "***", name, flags=re.IGNORECASE)
    return name


def case_rows(cases: Sequence[CaseRecord]) -> list[list[str]]:
    """Rows for the terminal: case, what became of it, structures taken, and the first reason."""
    return [
        [
            record.case,
            "yes" if record.training else "no",
            "yes" if record.evaluation else "no",
            f"{sum(s.taken for s in record.structures)}/{len(record.structures)}"
            if record.structures
            else "-",
            _why(record),
        ]
        for record in cases
    ]


def other_rows(report: Report) -> list[list[str]]:
    """Rows for the terminal: what else lay in the tree, and how much of it."""
    counts = Counter(
        f"series, {record.reason.code}: {record.reason.message}" for record in report.other_series
    )
    counts["structure sets, no-ct: no CT, or more than one, is what they refer to"] = len(
        report.structure_sets_without_ct
    )
    counts.update(report.other_objects)
    counts["files that are no DICOM"] = report.not_dicom_files
    counts["files that are damaged or deflated"] = report.unreadable_files
    return [[what, str(count)] for what, count in counts.items() if count]


def _why(record: CaseRecord) -> str:
    if record.reason is None:
        return ""
    lines = [f"{record.reason.code}: {record.reason.message}"]
    lines += [
        f"{s.structure}: {s.reason.message}"
        for s in record.structures
        if s.reason is not None and record.reason.code == "incomplete"
    ]
    return "\n".join(lines)
