"""Which jobs a list shows."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import TypedDict

from sqlalchemy import ColumnElement, func, or_

from service.job import JobState
from service.records import JobRecord


class JobFilter(TypedDict, total=False):
    """Conditions that must all hold. An absent one, or None, lets every job pass.

    Keys:
        states: the job's state is one of these.
        sender: AE title, or `rest`.
        series_uid: its series.
        since: made at that time or later.
        bundle: its bundle by name.
        default_bundle: the name of the bundle that a job gets which names none.
        text: its id, series or study begins with that text, or its sender or rule has it.
        of_patient: series whose patient fits the text, though nothing else does (`service/patients.py`).
    """

    states: Collection[JobState] | None
    sender: str | None
    series_uid: str | None
    since: datetime | None
    bundle: str | None
    default_bundle: str | None
    text: str | None
    of_patient: Collection[str] | None


def conditions(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
    """The filter in SQL."""
    if states := wanted.get("states"):
        yield JobRecord.state.in_(states)
    if (sender := wanted.get("sender")) is not None:
        yield JobRecord.sender == sender
    if (series_uid := wanted.get("series_uid")) is not None:
        yield JobRecord.series_uid == series_uid
    if (since := wanted.get("since")) is not None:
        yield JobRecord.created_at >= since.timestamp()
    if (bundle := wanted.get("bundle")) is not None:
        unnamed = JobRecord.bundle.is_(None) if bundle == wanted.get("default_bundle") else None
        yield JobRecord.bundle == bundle if unnamed is None else or_(JobRecord.bundle == bundle, unnamed)
    if text := wanted.get("text"):
        yield or_(*_fits(text.strip().lower()), JobRecord.series_uid.in_(wanted.get("of_patient") or ()))


def _fits(text: str) -> Iterator[ColumnElement[bool]]:
    for uid in (JobRecord.id, JobRecord.series_uid, JobRecord.study_uid):
        yield uid.startswith(text, autoescape=True)
    yield func.lower(JobRecord.sender).contains(text, autoescape=True)
    yield func.lower(JobRecord.rule).contains(text, autoescape=True)
