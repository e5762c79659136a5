"""Verdicts as a table for a spreadsheet: what was said, beside what Penumbra had said of the same contours."""

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from sqlalchemy import Exists, Select, exists, select
from sqlalchemy.orm import Session, aliased

from service.records import JobRecord, VerdictRecord
from service.settings import ServiceSettings
from worker.job_folder import RESULT_NAME, published_dir

COLUMNS = (
    "at",
    "job_id",
    "study_instance_uid",
    "series_instance_uid",
    "structure",
    "grade",
    "note",
    "reviewer",
    "reviewer_name",
    "bundle",
    "bundle_version",
    "bounds",
    "volume_cc",
    "quality",
    "predicted_dsc",
    "band_mean_mm",
    "band_p95_mm",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
TAKEN_BACK = "taken-back"
ROWS_AT_ONCE = 500


class Found(NamedTuple):
    """A verdict and its job."""

    verdict: VerdictRecord
    job: JobRecord


def write_csv(
    session: Session,
    stream: IO[str],
    settings: ServiceSettings,
    *,
    since: datetime | None = None,
    with_history: bool = False,
) -> int:
    """Write one row per verdict, oldest first, and say how many. Rows are not held in memory.

    Args:
        session: any session.
        stream: opened with newline="".
        settings: where results lie; of a result that was deleted the figures stay empty.
        since: only verdicts of that time or later.
        with_history: also verdicts that were replaced or taken back; without, the newest per structure alone.
    """
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    count = 0
    for found in _found(session, since, with_history=with_history):
        writer.writerow({name: harmless(value) for name, value in _row(found, settings).items()})
        count += 1
    return count


def harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: a note is free text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _found(session: Session, since: datetime | None, *, with_history: bool) -> Iterator[Found]:
    """By a cursor of the database's own, which reads as it goes; so nothing else is asked meanwhile."""
    query = _query(since, with_history=with_history)
    for verdict, job in session.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}):
        yield Found(verdict, job)


def _query(since: datetime | None, *, with_history: bool) -> Select[VerdictRecord, JobRecord]:
    query = select(VerdictRecord, JobRecord).join(JobRecord, JobRecord.id == VerdictRecord.job_id)
    if since is not None:
        query = query.where(VerdictRecord.at >= since.replace(tzinfo=since.tzinfo or UTC).timestamp())
    if not with_history:
        query = query.where(VerdictRecord.grade.is_not(None), ~_is_replaced())
    return query.order_by(VerdictRecord.id)


def _is_replaced() -> Exists:
    later = aliased(VerdictRecord)
    return exists().where(
        later.job_id == VerdictRecord.job_id,
        later.structure == VerdictRecord.structure,
        later.id > VerdictRecord.id,
    )


def _row(found: Found, settings: ServiceSettings) -> dict[str, object]:
    verdict, job = found
    return {
        "at": datetime.fromtimestamp(verdict.at, UTC).isoformat(timespec="seconds"),
        "job_id": job.id,
        "study_instance_uid": job.study_uid,
        "series_instance_uid": job.series_uid,
        "structure": verdict.structure,
        "grade": verdict.grade or TAKEN_BACK,
        "note": verdict.note,
        "reviewer": verdict.reviewer,
        "reviewer_name": verdict.reviewer_name,
        **_figures(published_dir(settings.jobs_dir / job.id) / RESULT_NAME, verdict.structure),
    }


def _figures(path: Path, structure: str) -> dict[str, object]:
    if not path.is_file():
        return {}
    result = json.loads(path.read_text())
    named: dict[str, Mapping[str, Any]] = {each["name"]: each for each in result.get("structures", [])}
    found = named.get(structure, {})
    bundle: Mapping[str, Any] = result.get("bundle") or {}
    band: Mapping[str, Any] = found.get("band_mm") or {}
    return {
        "bundle": bundle.get("name"),
        "bundle_version": bundle.get("version"),
        "bounds": found.get("bounds"),
        "volume_cc": found.get("volume_cc"),
        "quality": found.get("quality"),
        "predicted_dsc": (found.get("predicted_dsc") or {}).get("value"),
        "band_mean_mm": band.get("mean"),
        "band_p95_mm": band.get("p95"),
    }
