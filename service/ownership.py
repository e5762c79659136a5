"""Whose a job is. Who may see only what they submitted (role `submit`) is told of other jobs that there are none."""

from collections.abc import Collection, Iterable

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from service.actor import Actor, current_actor
from service.records import InstanceRecord, JobOwnerRecord, JobRecord, SeriesRecord
from service.roles import sees_only_own
from worker.errors import PenumbraError


class SeriesOfOthers(PenumbraError):
    """The series holds instances that this submitter did not send."""

    code = "series-of-others"
    default_message = "The series has instances that others sent, so its contours are not yours to see."
    default_remedy = "Send all instances of the series yourself, or ask for a token with the role operate."


def note_owner(session: Session, job_id: str) -> None:
    """Whoever acts has submitted this job; so may several, since equal submissions are one job."""
    actor = current_actor()
    if actor.kind in {"token", "session"} and session.get(JobOwnerRecord, (job_id, actor.user_id)) is None:
        session.add(JobOwnerRecord(job_id=job_id, owner=actor.user_id))


def is_restricted() -> bool:
    """Whether whoever acts may know of their own jobs only."""
    return sees_only_own(current_actor().role)


def may_see(session: Session, job_id: str) -> bool:
    """Whether whoever acts may know of that job."""
    actor = current_actor()
    if not sees_only_own(actor.role):
        return True
    return session.get(JobOwnerRecord, (job_id, actor.user_id)) is not None


def only_visible(query: Select[JobRecord]) -> Select[JobRecord]:
    """The query's jobs, without those that whoever acts may not know of."""
    actor = current_actor()
    if not sees_only_own(actor.role):
        return query
    return query.where(JobRecord.id.in_(_jobs_of(actor)))


def refuse_series_of_others(
    session: Session, series: SeriesRecord, presented: Collection[str] | None
) -> None:
    """Let nobody come by a stranger's contours with a series' UID, or with one slice of it.

    Args:
        session: any session.
        series: the series that is submitted.
        presented: SOP Instance UIDs that the submission itself brought along; None where it only names a UID.

    Raises:
        SeriesOfOthers: whoever acts sees only their own, has no job on the series as it is now, and did not
            bring all of it.
    """
    actor = current_actor()
    if not sees_only_own(actor.role):
        return
    has_job = exists().where(
        JobRecord.id.in_(_jobs_of(actor)),
        JobRecord.series_uid == series.series_uid,
        JobRecord.instance_count == series.instance_count,
    )
    if not session.scalar(select(has_job)) and not _brings_all(session, series, presented or ()):
        raise SeriesOfOthers


def _brings_all(session: Session, series: SeriesRecord, presented: Iterable[str]) -> bool:
    held = session.scalars(
        select(InstanceRecord.sop_uid).where(InstanceRecord.series_uid == series.series_uid)
    )
    return set(held) <= set(presented)


def _jobs_of(actor: Actor) -> Select[str]:
    return select(JobOwnerRecord.job_id).where(JobOwnerRecord.owner == actor.user_id)
