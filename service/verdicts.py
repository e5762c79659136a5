"""What reviewers say of contours: one of four grades per structure, with a note. It changes no contour.

The grades are those of Balagopal et al. (2021), "physician's evaluation": usable as is, after minor edits, after
major edits, not usable. Nothing is overwritten: the newest verdict on a structure counts, those before stay.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast, get_args

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from service import audit
from service.actor import Actor, current_actor
from service.audit import Action
from service.database import Database
from service.job import Job
from service.records import JobRecord, VerdictRecord
from service.reviewers import name_of
from worker.errors import PenumbraError
from worker.job_folder import RESULT_NAME

Grade = Literal["usable-as-is", "minor", "major", "not-usable"]
GRADES: tuple[Grade, ...] = get_args(Grade)


class NoContours(PenumbraError):
    """There is nothing to judge."""

    code = "no-contours"
    default_message = "The job has no contours to give a verdict on."
    default_remedy = "Wait until the job is done; see its reason where it did not end well or was deleted."


class UnknownStructure(PenumbraError):
    """The verdict names a structure that the result does not have."""

    code = "unknown-structure"
    default_message = "The result has no structure of this name."
    default_remedy = "Name the structures as result.json does, for instance CTV or Femur_Head_L."


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one reviewer said of one structure at one time; a grade of None takes back what was said before.

    `reviewer` is as in the audit log.
    """

    structure: str
    grade: Grade | None
    note: str
    reviewer: str
    reviewer_name: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be said of a structure now."""

    structure: str
    grade: Grade | None
    note: str = ""


class Verdicts:
    """Every call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def history(self, job_id: str) -> Sequence[Verdict]:
        """All that was ever said of a job's structures, newest first."""
        with self._database.read() as session:
            return [_value(record) for record in _records(session, job_id)]

    def give(self, job: Job, judgements: Iterable[Judgement]) -> Sequence[Verdict]:
        """Say something of some structures, on behalf of whoever acts; the rest stays as it was.

        The same said again by the same reviewer is no further verdict, so a request may be repeated.

        Raises:
            NoContours: the job is not done, or its result was deleted.
            UnknownStructure: the result has no such structure.
        """
        judgements = tuple(judgements)
        known = structures_of(job)
        if not known:
            raise NoContours
        if any(each.structure not in known for each in judgements):
            raise UnknownStructure
        with self._database.write() as session:
            record = session.get_one(JobRecord, job.id)
            for each in judgements:
                _say(session, record, each, current_actor())
            session.flush()
            return [_value(record) for record in _records(session, job.id)]


def current(history: Iterable[Verdict]) -> dict[str, Verdict]:
    """What counts: the newest verdict per structure, without those that were taken back."""
    newest: dict[str, Verdict] = {}
    for verdict in history:  # newest first
        newest.setdefault(verdict.structure, verdict)
    return {name: verdict for name, verdict in newest.items() if verdict.grade is not None}


def structures_of(job: Job) -> list[str]:
    """The names of the structures that a job has contoured, in the result's order; none if it has no result."""
    path = None if job.result_dir is None else job.result_dir / RESULT_NAME
    if job.state != "done" or path is None or not path.is_file():
        return []
    return [str(each["name"]) for each in json.loads(path.read_text()).get("structures", [])]


def _say(session: Session, job: JobRecord, wanted: Judgement, actor: Actor) -> None:
    before = session.scalars(
        _query(job.id).where(VerdictRecord.structure == wanted.structure).limit(1)
    ).first()
    if before is None and wanted.grade is None:
        return  # nothing to take back
    if before is not None and _is_same(before, wanted, actor):
        return
    session.add(
        VerdictRecord(
            job_id=job.id,
            structure=wanted.structure,
            grade=wanted.grade,
            note=wanted.note,
            reviewer=actor.user_id,
            reviewer_name=name_of(session, actor),
            at=time.time(),
        )
    )
    session.flush()
    said = wanted.grade or "taken-back"  # not the note: it is free text
    audit.record(session, Action.VERDICT_GIVEN, subject=wanted.structure, grade=said, **audit.about_job(job))


def _is_same(before: VerdictRecord, wanted: Judgement, actor: Actor) -> bool:
    said = (before.grade, before.note, before.reviewer)
    return said == (wanted.grade, wanted.note, actor.user_id)


def _records(session: Session, job_id: str) -> Iterable[VerdictRecord]:
    return session.scalars(_query(job_id))


def _query(job_id: str) -> Select[VerdictRecord]:
    return select(VerdictRecord).where(VerdictRecord.job_id == job_id).order_by(VerdictRecord.id.desc())


def _value(record: VerdictRecord) -> Verdict:
    return Verdict(
        structure=record.structure,
        grade=cast(Grade | None, record.grade),
        note=record.note,
        reviewer=record.reviewer,
        reviewer_name=record.reviewer_name,
        at=datetime.fromtimestamp(record.at, UTC),
    )
