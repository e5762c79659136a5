"""What is counted and measured of intake, jobs and deliveries, and where from. Labels never name a patient."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from service.records import DeliveryRecord, JobRecord, SeriesRecord
from service.tallies import Figure, TallyBuffer, count, observe
from worker.errors import PenumbraError

if TYPE_CHECKING:
    from service.inbox import Received

SECONDS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0)
QUALITY = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 1.0)
MILLIMETRES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0)

INSTANCES = Figure(
    "penumbra_instances",
    "Instances offered, by way in and by what became of them: stored, duplicate, or the reason of refusal.",
    ("source", "outcome"),
)
RECEIVED_BYTES = Figure("penumbra_received_bytes", "Bytes of the instances stored.", ("source",))
JOBS_ENDED = Figure(
    "penumbra_jobs_ended", "Jobs that ended, by state and reason (none when done).", ("state", "reason")
)
STAGE_SECONDS = Figure(
    "penumbra_stage_seconds", "Seconds that a finished job spent in a stage.", ("stage",), SECONDS
)
JOB_SECONDS = Figure("penumbra_job_seconds", "Seconds of computing of a finished job.", (), SECONDS)
TURNAROUND = Figure(
    "penumbra_turnaround_seconds", "Seconds from a series' last instance to its job's end.", (), SECONDS
)
QUALITY_SCORES = Figure(
    "penumbra_quality", "Quality score of a structure (mean DSC of passes).", ("structure",), QUALITY
)
BAND_WIDTH = Figure(
    "penumbra_band_mm",
    "Mean distance of lower and upper bound of a structure in mm.",
    ("structure",),
    MILLIMETRES,
)
FINDINGS = Figure("penumbra_findings", "Findings of finished jobs, by code.", ("code",))
DELIVERY_TRIES = Figure(
    "penumbra_delivery_tries",
    "Attempts to deliver, by node and whether it took everything.",
    ("node", "outcome"),
)
DELIVERY_SECONDS = Figure(
    "penumbra_delivery_seconds", "Seconds from a job's end to its result at the node.", ("node",), SECONDS
)
DELETED = Figure("penumbra_deleted", "What retention deleted.", ("kind",))

ALL = (
    INSTANCES,
    RECEIVED_BYTES,
    JOBS_ENDED,
    STAGE_SECONDS,
    JOB_SECONDS,
    TURNAROUND,
    QUALITY_SCORES,
    BAND_WIDTH,
    FINDINGS,
    DELIVERY_TRIES,
    DELIVERY_SECONDS,
    DELETED,
)


class _HasTallies(Protocol):
    tallies: TallyBuffer


_Inbox = TypeVar("_Inbox", bound=_HasTallies)
_Options = ParamSpec("_Options")
_Receive = Callable[Concatenate[_Inbox, bytes, _Options], "Received"]


def counted(receive: _Receive[_Inbox, _Options]) -> _Receive[_Inbox, _Options]:
    """Count what an inbox was offered by `receive(data, source=..., ...)`, and what became of it."""

    @wraps(receive)
    def counting(
        inbox: _Inbox, data: bytes, /, *given: _Options.args, **options: _Options.kwargs
    ) -> "Received":
        source = str(options["source"])
        try:
            received = receive(inbox, data, *given, **options)
        except PenumbraError as error:
            inbox.tallies.count(INSTANCES, source, error.code)
            raise
        inbox.tallies.count(INSTANCES, source, "duplicate" if received.duplicate else "stored")
        if not received.duplicate:
            inbox.tallies.count(RECEIVED_BYTES, source, amount=len(data))
        return received

    return counting


def note_end(session: Session, job: JobRecord) -> None:
    """A job has ended; call it after its state and reason are set."""
    count(session, JOBS_ENDED, job.state, job.reason["code"] if job.reason else "none")


def note_result(session: Session, job: JobRecord, document: Path) -> None:
    """A job is done: times, quality, band widths and findings of its `result.json`."""
    series = session.get(SeriesRecord, job.series_uid)
    if series is not None:
        observe(session, TURNAROUND, value=max(0.0, time.time() - series.last_received_at))
    with suppress(OSError, ValidationError):  # figures of a document that nobody can read are nobody's loss
        _note_document(session, _Document.model_validate_json(document.read_bytes()))


def note_delivery(session: Session, delivery: DeliveryRecord, *, taken: bool) -> None:
    """A node took a result, or did not."""
    count(session, DELIVERY_TRIES, delivery.node, "taken" if taken else "not taken")
    if taken:
        seconds = max(0.0, time.time() - delivery.created_at)
        observe(session, DELIVERY_SECONDS, delivery.node, value=seconds)


class _Band(BaseModel):
    mean: float | None


class _Structure(BaseModel):
    name: str
    quality: float
    band_mm: _Band


class _Finding(BaseModel):
    code: str


class _Document(BaseModel):
    """What is counted of `result.json`."""

    seconds: dict[str, float] = {}
    structures: tuple[_Structure, ...] = ()
    findings: tuple[_Finding, ...] = ()


def _note_document(session: Session, document: _Document) -> None:
    for stage, seconds in document.seconds.items():
        observe(session, STAGE_SECONDS, stage, value=seconds)
    if document.seconds:
        observe(session, JOB_SECONDS, value=sum(document.seconds.values()))
    for structure in document.structures:
        observe(session, QUALITY_SCORES, structure.name, value=structure.quality)
        if structure.band_mm.mean is not None:
            observe(session, BAND_WIDTH, structure.name, value=structure.band_mm.mean)
    for finding in document.findings:
        count(session, FINDINGS, finding.code)
