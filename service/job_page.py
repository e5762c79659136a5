"""Pages of the list of jobs, newest first, and how many jobs there are in each state."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session, selectinload

from service import counts, ownership
from service.job import Job, JobState, job_of
from service.job_filter import JobFilter, conditions
from service.records import JobRecord
from service.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """Some jobs, newest first, and the cursor that continues the list."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


def page_of(
    session: Session, settings: ServiceSettings, wanted: JobFilter, *, limit: int, cursor: str | None
) -> JobPage:
    """The jobs that pass the filter and that whoever acts may know of, after the cursor.

    Raises:
        ValueError: the cursor is not one of ours.
    """
    query = select(JobRecord).options(selectinload(JobRecord.deliveries))
    query = query.order_by(JobRecord.created_at.desc(), JobRecord.id.desc()).limit(limit + 1)
    query = _after(ownership.only_visible(query).where(*conditions(wanted)), cursor)
    records = session.scalars(query).all()
    last = records[limit - 1] if len(records) > limit else None
    return JobPage(
        jobs=tuple(job_of(record, settings) for record in records[:limit]),
        next_cursor=None if last is None else f"{last.created_at!r}_{last.id}",
    )


def counts_of(session: Session, wanted: JobFilter) -> dict[JobState, int]:
    """State -> how many jobs pass the filter, whatever states it asks for; states without a job are left out."""
    everything: JobFilter = {**wanted, "states": None}
    query = ownership.only_visible(select(JobRecord)).where(*conditions(everything))
    return {cast(JobState, state): number for state, number in counts.jobs_by_state(session, query).items()}


def _after(query: Select[JobRecord], cursor: str | None) -> Select[JobRecord]:
    if cursor is None:
        return query
    created_at, _, job_id = cursor.partition("_")
    return query.where(tuple_(JobRecord.created_at, JobRecord.id) < tuple_(float(created_at), job_id))
