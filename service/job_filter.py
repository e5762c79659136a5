"""Which jobs a list shows."""

from collections.abc import Iterator
from datetime import datetime
from typing import TypedDict

from sqlalchemy import ColumnElement, or_

from service.job import JobState
from service.records import JobRecord


class JobFilter(TypedDict, total=False):
    """Conditions that must all hold. An absent one, or None, lets every job pass.

    Keys:
        state: the job's state.
        sender: AE title, or `rest`.
        series_uid: its series.
        since: made at that time or later.
        bundle: its bundle by name.
        default_bundle: the name of the bundle that a job gets which names none.
    """

    state: JobState | None
    sender: str | None
    series_uid: str | None
    since: datetime | None
    bundle: str | None
    default_bundle: str | None


def conditions(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
    """The filter in SQL."""
    if (state := wanted.get("state")) is not None:
        yield JobRecord.state == state
    if (sender := wanted.get("sender")) is not None:
        yield JobRecord.sender == sender
    if (series_uid := wanted.get("series_uid")) is not None:
        yield JobRecord.series_uid == series_uid
    if (since := wanted.get("since")) is not None:
        yield JobRecord.created_at >= since.timestamp()
    if (bundle := wanted.get("bundle")) is not None:
        unnamed = JobRecord.bundle.is_(None) if bundle == wanted.get("default_bundle") else None
        yield JobRecord.bundle == bundle if unnamed is None else or_(JobRecord.bundle == bundle, unnamed)
