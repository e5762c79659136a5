"""Thousands of jobs in the database, to see how the worklist bears them: rows alone, without files or results."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import insert, update

from service.database import Database
from service.records import ChangeCounter, JobRecord, SeriesRecord

STATES: Final = ("done",) * 17 + ("rejected", "failed", "cancelled")
APART_S: Final = 600.0
BATCH: Final = 1000


def crowd(database: Database, count: int) -> None:
    """Add so many ended jobs, the newest first, each `APART_S` older than the one before."""
    numbers = iter(range(count))
    while some := list(itertools.islice(numbers, BATCH)):
        with database.write() as session:
            session.execute(insert(SeriesRecord), [_series(number) for number in some])
            session.execute(insert(JobRecord), list(_jobs(some)))
    with database.write() as session:
        session.execute(update(ChangeCounter).values(value=ChangeCounter.value + count))


def uid_of(number: int) -> str:
    """The Series Instance UID of the job of that number."""
    return f"2.25.990{number:07d}"


def _time_of(number: int) -> float:
    return time.time() - APART_S * (number + 1)


def _series(number: int) -> dict[str, Any]:
    when = _time_of(number)
    return {
        "series_uid": uid_of(number),
        "study_uid": f"{uid_of(number)}.1",
        "modality": "CT",
        "sender": "PLANNING",
        "source": "dicom",
        "instance_count": 160,
        "pending": False,
        "revision": 1,
        "first_received_at": when,
        "last_received_at": when,
    }


def _jobs(numbers: list[int]) -> Iterator[dict[str, Any]]:
    for number in numbers:
        state = STATES[number % len(STATES)]
        reason = {"code": "no-pelvis", "message": "No pelvis was found in the CT.", "remedy": "Send another."}
        yield {
            "id": str(uuid.UUID(int=(0xC << 124) + number)),
            "version": number + 1,
            "state": state,
            "series_uid": uid_of(number),
            "study_uid": f"{uid_of(number)}.1",
            "sender": "PLANNING",
            "source": "dicom",
            "instance_count": 160,
            "passes": 50,
            "seed": 0,
            "percent": 100.0 if state == "done" else 0.0,
            "reason": None if state == "done" else reason,
            "created_at": _time_of(number),
            "updated_at": _time_of(number) + 60,
        }
