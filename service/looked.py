"""Which places of a review's list "look here" were looked at, by whom and when. It changes no contour.

A tick is one reviewer's: a second reviewer begins with an empty list, and sees who has looked before.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from service import audit
from service.actor import current_actor
from service.audit import Action
from service.database import Database
from service.job import Job
from service.records import JobRecord, LookedRecord
from service.reviewers import name_of
from worker.errors import PenumbraError
from worker.job_folder import REVIEW_NAME


class UnknownPlace(PenumbraError):
    """The tick names a place that the review does not have."""

    code = "unknown-place"
    default_message = "The review has no such place to look at."
    default_remedy = "Name places by their `key`, as `look_here` of the job's review does."


@dataclass(frozen=True, kw_only=True)
class Look:
    """One reviewer has looked at one place. `reviewer` is as in the audit log."""

    place: str
    reviewer: str
    reviewer_name: str
    at: datetime


class LookedPlaces:
    """Every call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, job_id: str) -> Sequence[Look]:
        """All looks at a job's places, oldest first."""
        with self._database.read() as session:
            return _looks(session, job_id)

    def tick(self, job: Job, ticks: Mapping[str, bool]) -> Sequence[Look]:
        """Whoever acts has looked at some places, or takes that back; the rest stays as it was.

        Args:
            job: whose review it is.
            ticks: place's key -> whether it was looked at. What is so already is no event.

        Raises:
            UnknownPlace: the job's review has no such place, or the job none.
        """
        if not set(ticks) <= set(places_of(job)):
            raise UnknownPlace
        with self._database.write() as session:
            record = session.get_one(JobRecord, job.id)
            for place, is_looked in ticks.items():
                _tick(session, record, place, is_looked=is_looked)
            session.flush()
            return _looks(session, job.id)


def places_of(job: Job) -> list[str]:
    """The keys of the places that a job's review lists, the first first; none where it has no review."""
    path = None if job.result_dir is None else job.result_dir / REVIEW_NAME
    if job.state != "done" or path is None or not path.is_file():
        return []
    return [str(each["key"]) for each in json.loads(path.read_bytes()).get("look_here", [])]


def _tick(session: Session, job: JobRecord, place: str, *, is_looked: bool) -> None:
    actor = current_actor()
    known = session.get(LookedRecord, (job.id, place, actor.user_id))
    if (known is not None) == is_looked:
        return
    if known is not None:
        session.delete(known)
    else:
        name = name_of(session, actor)
        session.add(
            LookedRecord(
                job_id=job.id, place=place, reviewer=actor.user_id, reviewer_name=name, at=time.time()
            )
        )
    action = Action.LOOKED_AT if is_looked else Action.LOOK_TAKEN_BACK
    audit.record(session, action, subject=place, **audit.about_job(job))


def _looks(session: Session, job_id: str) -> list[Look]:
    query = select(LookedRecord).where(LookedRecord.job_id == job_id)
    found: Iterable[LookedRecord] = session.scalars(query.order_by(LookedRecord.at, LookedRecord.place))
    return [
        Look(
            place=each.place,
            reviewer=each.reviewer,
            reviewer_name=each.reviewer_name,
            at=datetime.fromtimestamp(each.at, UTC),
        )
        for each in found
    ]
