"""What REST says and hears, as JSON shapes. Times are UTC, ISO 8601; `percent` runs from 0 to 100."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self, Unpack

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from service.job import Job, JobState
from service.job_wishes import JobWishes
from service.priority import Priority
from worker.job_folder import PREVIEW_NAME, RESULT_NAME, REVIEW_NAME, RTSTRUCT_NAME
from worker.object_files import objects_in

API_PATH = "/api/v1"
JOBS_PATH = f"{API_PATH}/jobs"
DICOMWEB_PATH = "/dicomweb"

# PS3.5 9.1: dotted numbers without leading zeros, at most 64 characters.
UID_PATTERN = r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*$"
UID_CHARACTERS = 64
Uid = Annotated[str, StringConstraints(pattern=UID_PATTERN, max_length=UID_CHARACTERS)]
BundleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class JobOptions(BaseModel):
    """How a job is to be run; what is left out comes from the settings."""

    model_config = ConfigDict(extra="forbid")

    passes: int | None = Field(default=None, ge=1, le=1000)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    bundle: BundleName | None = None
    priority: Priority | None = None
    """0 (goes first) to 9; 3 where nothing is said."""

    def wishes(self, **more: Unpack[JobWishes]) -> JobWishes:
        """These options as `Jobs` takes them, and `more` that is not the client's to say."""
        options = JobWishes(passes=self.passes, seed=self.seed, bundle=self.bundle, priority=self.priority)
        return {**options, **more}


class RerunRequest(JobOptions):
    """What is to be different this time. The result goes to nodes only if `deliver` is true."""

    deliver: bool = False


class PriorityRequest(BaseModel):
    """A job's new place in the queue."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority


class SeriesRequest(JobOptions):
    """A job for a series that has been received already."""

    series_instance_uid: Uid


class Reason(BaseModel):
    """Why a job ended without a result: a stable code, what happened, and what to do."""

    code: str
    message: str
    remedy: str


class DeliveryView(BaseModel):
    """A result on its way to a DICOM node, or to the node that stands in for it (`target`)."""

    id: str
    node: str
    target: str
    state: str
    attempts: int
    last_error: str | None
    remarks: list[str]
    stored: int
    commitment: str | None
    commitment_note: str | None


class Progress(BaseModel):
    """How far a job is; the payload of the event `progress`."""

    id: str
    state: JobState
    stage: str
    structure: str | None
    percent: float
    passes_done: int
    passes_total: int
    seconds_left: float | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """The progress of `job`."""
        return cls.model_validate(job, from_attributes=True)


class Intake(BaseModel):
    """What an upload held."""

    received: int = 0
    """Instances, those known already included."""
    duplicates: int = 0
    skipped: int = 0
    """Files that are not DICOM."""


class JobView(BaseModel):
    """A job as clients see it. `notice` is to be shown wherever its result is shown."""

    id: str
    state: JobState
    stage: str
    structure: str | None
    percent: float
    passes_done: int
    passes_total: int
    seconds_left: float | None
    """About how long it will still run; null where that cannot be told."""
    reason: Reason | None
    series_instance_uid: str
    study_instance_uid: str
    instance_count: int
    source: str
    sender: str
    bundle: str
    rule: str | None
    notice: str | None
    passes: int
    seed: int
    priority: int
    rerun_of: str | None
    deliver: bool
    revision: int
    superseded_by: str | None
    attempts: int
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
    deliveries: list[DeliveryView]
    links: dict[str, str]
    upload: Intake | None = None

    @classmethod
    def of(cls, job: Job, *, bundle: str, notice: str | None) -> Self:
        """`job` with its links; `bundle` is the name of the one it gets, named or not."""
        values: dict[str, Any] = {name: getattr(job, name) for name in cls.model_fields if hasattr(job, name)}
        values["deliveries"] = [
            DeliveryView.model_validate(each, from_attributes=True) for each in job.deliveries
        ]
        values["bundle"] = bundle
        return cls(**values, notice=notice, links=links(job))


def links(job: Job) -> dict[str, str]:
    """What can be done with a job now; a link that is absent would be refused."""
    base = f"{JOBS_PATH}/{job.id}"
    found = {"self": base, "events": f"{base}/events"}
    found |= {name: f"{base}/{name}" for name in _steps(job)}
    names: dict[str, Literal["result", "rtstruct", "preview", "review"]] = {
        RESULT_NAME: "result",
        RTSTRUCT_NAME: "rtstruct",
        PREVIEW_NAME: "preview",
        REVIEW_NAME: "review",
    }
    if job.result_dir is not None and (job.result_dir / RTSTRUCT_NAME).is_file():
        found |= {name: f"{base}/{name}" for name in ("objects", "everything", "verdict")}
    if job.result_dir is not None and (job.result_dir / REVIEW_NAME).is_file():
        found |= {"report": f"{base}/report.html", "report_pdf": f"{base}/report.pdf"}
    if job.result_dir is not None:
        found |= {name: f"{base}/{name}" for file, name in names.items() if (job.result_dir / file).is_file()}
    return found


def _steps(job: Job) -> list[str]:
    steps = [] if job.has_ended else ["cancel"]
    if job.state in {"receiving", "queued"}:
        steps.append("priority")
    if job.superseded_by is None and job.state != "receiving":
        steps += [] if job.state == "not-routed" else ["rerun"]
        steps += ["retry"] if job.has_ended and job.state != "done" else []
    return steps


class ObjectView(BaseModel):
    """A file that a job has made. `kind` is rtstruct, seg, sr, pdf or nifti."""

    name: str
    kind: str
    bytes: int
    link: str


class ObjectList(BaseModel):
    """Everything that a job has made to be sent or fetched, the RTSTRUCTs first."""

    objects: list[ObjectView]

    @classmethod
    def of(cls, job: Job) -> Self:
        """The objects of a job; none if it is not done."""
        found = [] if job.result_dir is None else objects_in(job.result_dir)
        return cls(
            objects=[
                ObjectView(
                    name=each.name,
                    kind=each.kind,
                    bytes=each.path.stat().st_size,
                    link=f"{JOBS_PATH}/{job.id}/objects/{each.name}",
                )
                for each in found
            ]
        )


class JobQuery(BaseModel):
    """Which part of the list of jobs is wanted; all conditions must hold."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(
        default=None, max_length=100, pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?_[0-9a-f-]{36}$"
    )
    state: Annotated[list[JobState], Field(max_length=8)] = []
    """Any of these; given more than once for several."""
    q: str | None = Field(default=None, max_length=64)
    """Words of the patient's name or id, or of a description; or the beginning of a job's id or of a UID."""
    counts: bool = False
    """Whether to tell how many jobs there are in each state."""
    sender: str | None = Field(default=None, min_length=1, max_length=64)
    series: Uid | None = None
    bundle: BundleName | None = None
    since: AwareDatetime | None = None
    """Jobs made at that time or later: ISO 8601 with its offset, such as 2026-05-04T07:00:00Z."""


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    next_cursor: str | None
    counts: dict[JobState, int] | None = None
    """If asked for: jobs that pass all of the filter but its states, by state."""


class BundleView(BaseModel):
    """An installed bundle, as its manifest has it.

    `metrics` is what was measured, and by which command; `calibration` on which cases the bounds were calibrated
    and how wide they are per structure, null where they were not.
    """

    name: str
    version: str
    intended_use: str
    sha256: str
    notice: str | None
    description: str
    licence: str
    training: Any
    bounds: str
    calibration: Any
    quality_validated: Any
    networks: list[str]
    metrics: Any
    default: bool
    """Whether a job gets it that names none."""

    @classmethod
    def of(cls, name: str, manifest: Mapping[str, Any], *, notice: str | None, default: bool) -> Self:
        """The bundle called `name`; what its manifest leaves out stays empty."""
        return cls(
            default=default,
            description=str(manifest.get("description", "")),
            licence=str(manifest.get("licence", "")),
            training=manifest.get("training"),
            bounds=str(manifest.get("bounds", "")),
            calibration=manifest.get("calibration"),
            quality_validated=manifest.get("quality_validated"),
            name=name,
            version=str(manifest.get("version", "")),
            intended_use=str(manifest.get("intended_use", "")),
            sha256=str(manifest["sha256"]),
            notice=notice,
            networks=sorted(manifest.get("networks") or ()),
            metrics=manifest.get("metrics"),
        )


class BundleList(BaseModel):
    """All installed bundles."""

    bundles: list[BundleView]
