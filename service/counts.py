"""How many jobs and deliveries there are in each state, and who has waited longest.

Counted here for all who tell it: the pages, the monitor (`service/state_figures.py`), `penumbra doctor`.
"""

from sqlalchemy import Result, Select, func, select
from sqlalchemy.orm import Session

from service.records import DeliveryRecord, JobEventRecord, JobRecord

ALL_JOBS = select(JobRecord)
UNDELIVERED = ("waiting", "sending")
LONG_WAIT_S = 1800.0
"""A longer wait is somebody's to look at: on the page, for `penumbra doctor`, in `deploy/monitoring/alerts.yml`."""


def jobs_by_state(session: Session, among: Select[JobRecord] = ALL_JOBS) -> dict[str, int]:
    """State -> how many of these jobs are in it; states without a job are left out."""
    query = among.with_only_columns(JobRecord.state, func.count()).group_by(JobRecord.state)
    return _numbers(session.execute(query))


def deliveries_by_state(session: Session) -> dict[str, int]:
    """State -> how many deliveries are in it; states without one are left out."""
    query = select(DeliveryRecord.state, func.count()).group_by(DeliveryRecord.state)
    return _numbers(session.execute(query))


def undelivered_by_node(session: Session) -> dict[str, int]:
    """AE title -> how many results that node has not got yet; nodes that have all are left out."""
    query = select(DeliveryRecord.node, func.count()).where(DeliveryRecord.state.in_(UNDELIVERED))
    return _numbers(session.execute(query.group_by(DeliveryRecord.node).order_by(DeliveryRecord.node)))


def longest_wait_s(session: Session, now: float) -> float | None:
    """Seconds for which the queued job that waits longest has waited; None where none waits.

    It waits since it was queued, the last time: the time before the series was whole is not a wait for a worker, nor
    is what lies before a retry, and a changed priority begins nothing anew.

    Args:
        session: in which to look.
        now: seconds since the epoch.
    """
    waiting = select(JobRecord.id).where(JobRecord.state == "queued")
    queued = (
        select(JobEventRecord.job_id, func.max(JobEventRecord.at).label("at"))
        .where(
            JobEventRecord.state == "queued", JobEventRecord.job_id.in_(waiting)
        )  # few of the many events kept
        .group_by(JobEventRecord.job_id)
        .subquery()
    )
    since = session.scalar(
        select(
            func.min(func.coalesce(queued.c.at, JobRecord.updated_at))
        )  # events are deleted after some days
        .select_from(JobRecord)
        .outerjoin(queued, queued.c.job_id == JobRecord.id)
        .where(JobRecord.state == "queued")
    )
    return None if since is None else max(0.0, now - since)


def _numbers(rows: Result[str, int]) -> dict[str, int]:
    return {name: number for name, number in rows}
