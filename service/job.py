"""A job as the rest of the service sees it: a value, read at one moment, without a database behind it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

from service.job_state import JobState as JobState
from service.records import DeliveryRecord, JobRecord
from service.settings import ServiceSettings
from worker.job_folder import published_dir

DeliveryState = Literal["waiting", "sending", "delivered", "failed"]

TELLING_PERCENT = 10.0
"""Below that reading and finding the organs weigh too much to tell how long the rest will take."""

ENDED: frozenset[str] = frozenset({"done", "rejected", "failed", "cancelled", "not-routed"})


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A result on its way to one node."""

    id: str
    node: str
    state: DeliveryState
    attempts: int
    last_error: str | None
    target: str
    """The node itself, or the fallback that the next attempt goes to or that took it."""
    remarks: tuple[str, ...]
    """What the node said about objects that it stored with a warning or, beside the RTSTRUCT, refused."""
    stored: int
    """How many objects the node has."""
    commitment: str | None
    """Whether it answers for them: waiting, asked, committed, refused, unconfirmed; None if it is not asked."""
    commitment_note: str | None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a client asked for and how far it is."""

    id: str
    version: int
    state: JobState
    stage: str
    structure: str | None
    percent: float
    passes_done: int
    passes_total: int
    reason: dict[str, str] | None
    series_instance_uid: str
    study_instance_uid: str
    sender: str
    source: str
    instance_count: int
    revision: int
    superseded_by: str | None
    bundle: str | None
    rule: str | None
    passes: int
    seed: int
    priority: int
    rerun_of: str | None
    deliver: bool
    attempts: int
    seconds_left: float | None
    """About how long a running job will still take, by how far it has come; None where that cannot be told yet."""
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
    deliveries: tuple[Delivery, ...]
    result_dir: Path | None

    @property
    def has_ended(self) -> bool:
        """Nothing will change any more unless somebody retries it."""
        return self.state in ENDED


def job_of(record: JobRecord, settings: ServiceSettings) -> Job:
    """Read a record into a value. Needs the record's session."""
    return Job(
        id=record.id,
        version=record.version,
        state=cast(JobState, record.state),
        stage=record.stage,
        structure=record.structure,
        percent=record.percent,
        passes_done=record.passes_done,
        passes_total=record.passes_total,
        reason=record.reason,
        series_instance_uid=record.series_uid,
        study_instance_uid=record.study_uid,
        sender=record.sender,
        source=record.source,
        instance_count=record.instance_count,
        revision=record.revision,
        superseded_by=record.superseded_by,
        bundle=record.bundle,
        rule=record.rule,
        passes=record.passes,
        seed=record.seed,
        priority=record.priority,
        rerun_of=record.rerun_of,
        deliver=record.deliver,
        attempts=record.attempts,
        seconds_left=_seconds_left(record),
        cancel_requested=record.cancel_requested,
        created_at=datetime.fromtimestamp(record.created_at, UTC),
        updated_at=datetime.fromtimestamp(record.updated_at, UTC),
        deliveries=tuple(delivery_of(delivery) for delivery in record.deliveries),
        result_dir=published_dir(settings.jobs_dir / record.id) if record.has_result else None,
    )


def _seconds_left(record: JobRecord) -> float | None:
    """As if the rest went on at the pace so far, from the latest word of the worker."""
    if record.state != "running" or record.started_at is None or record.percent < TELLING_PERCENT:
        return None
    return (record.updated_at - record.started_at) * (100.0 - record.percent) / record.percent


def delivery_of(record: DeliveryRecord) -> Delivery:
    """Read a record into a value."""
    return Delivery(
        id=record.id,
        node=record.node,
        state=cast(DeliveryState, record.state),
        attempts=record.attempts,
        last_error=record.last_error,
        target=record.target or record.node,
        remarks=tuple(record.remarks or ()),
        stored=len(record.objects or ()),
        commitment=record.commitments[-1].state if record.commitments else None,
        commitment_note=record.commitments[-1].note if record.commitments else None,
    )
