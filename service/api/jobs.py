"""Jobs over REST: submit, list, look, cancel, retry, re-run, priority."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from service.actor import current_actor
from service.api.parts import JobDep, Parts, PartsDep
from service.api.patients import note_search
from service.idempotency import MAX_KEY_CHARACTERS, IdempotencyKey, fingerprint_of
from service.job import Job
from service.job_filter import JobFilter
from service.patients import Patients
from service.problems import Problem, invalid_request
from service.schemas import (
    JOBS_PATH,
    Intake,
    JobList,
    JobOptions,
    JobQuery,
    JobView,
    PriorityRequest,
    RerunRequest,
    SeriesRequest,
)
from service.submission import Submission
from service.upload import Form, read_form, staged

router = APIRouter(prefix=JOBS_PATH, tags=["jobs"])

FORM_DESCRIPTION = {
    "type": "object",
    "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "passes": {"type": "integer", "minimum": 1},
        "seed": {"type": "integer", "minimum": 0},
        "bundle": {"type": "string"},
        "priority": {"type": "integer", "minimum": 0, "maximum": 9},
    },
}
BODY_DESCRIPTION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": FORM_DESCRIPTION},
            "application/json": {"schema": SeriesRequest.model_json_schema()},
        },
    }
}


@dataclass(frozen=True)
class GivenKey:
    """The `Idempotency-Key` of a request, if it has one."""

    key: str | None
    client: str

    def of(self, fingerprint: str) -> IdempotencyKey | None:
        """The key for a request of that fingerprint."""
        if self.key is None:
            return None
        return IdempotencyKey(key=self.key, client=self.client, fingerprint=fingerprint)


def given_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=MAX_KEY_CHARACTERS,
            description="New for each request; the same one again gives the same job.",
        ),
    ] = None,
) -> GivenKey:
    """The key as the header gives it; keys of different clients are different keys."""
    return GivenKey(key, current_actor().user_id)


KeyDep = Annotated[GivenKey, Depends(given_key)]


@router.post("", status_code=202, openapi_extra=BODY_DESCRIPTION)
async def create_job(request: Request, response: Response, parts: PartsDep, key: KeyDep) -> JobView:
    """Queue a job: for uploaded files (a zip, or the DICOM files of one series), or for a received series."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        view = await _from_upload(request, parts, key)
    elif kind == "application/json":
        wanted = _series_request(await request.body())
        idempotency = key.of(fingerprint_of(wanted.model_dump_json()))
        view = parts.view(await run_in_threadpool(_submit_series, parts, wanted, idempotency))
    else:
        raise Problem(
            415,
            "unsupported-media-type",
            detail="A job is submitted as multipart/form-data or as application/json.",
            remedy="See `curl -F file=@series.zip`, or send a JSON object with series_instance_uid.",
        )
    response.headers["Location"] = view.links["self"]
    return view


@router.get("")
def list_jobs(parts: PartsDep, wanted: Annotated[JobQuery, Query()]) -> JobList:
    """Jobs, newest first."""
    passing = _filter(wanted, parts)
    if wanted.q:
        note_search(parts)
    page = parts.jobs.list(limit=wanted.limit, cursor=wanted.cursor, **passing)
    return JobList(
        jobs=[parts.view(job) for job in page.jobs],
        next_cursor=page.next_cursor,
        counts=parts.jobs.counts(**passing) if wanted.counts else None,
    )


@router.get("/{job_id}")
def get_job(job: JobDep, parts: PartsDep) -> JobView:
    """One job."""
    return parts.view(job)


@router.post("/{job_id}/cancel")
def cancel_job(job: JobDep, parts: PartsDep) -> JobView:
    """Stop a job; a running one ends within its next pass."""
    return parts.view(parts.jobs.cancel(job.id))


@router.post("/{job_id}/retry")
def retry_job(job: JobDep, parts: PartsDep) -> JobView:
    """Queue a job again that did not end well."""
    return parts.view(parts.jobs.retry(job.id))


@router.post("/{job_id}/rerun", status_code=202)
def rerun_job(job: JobDep, wanted: RerunRequest, parts: PartsDep, key: KeyDep) -> JobView:
    """Queue another job on the same series with other options, such as another bundle to compare with."""
    idempotency = key.of(fingerprint_of(job.id, wanted.model_dump_json()))
    wishes = wanted.wishes(deliver=wanted.deliver, idempotency=idempotency)
    return parts.view(parts.jobs.rerun(job.id, **wishes))


@router.post("/{job_id}/priority")
def set_priority(job: JobDep, wanted: PriorityRequest, parts: PartsDep) -> JobView:
    """Let a job that waits go earlier or later."""
    return parts.view(parts.jobs.set_priority(job.id, wanted.priority))


def _filter(wanted: JobQuery, parts: Parts) -> JobFilter:
    text = (wanted.q or "").strip()
    of_patient = Patients(parts.settings, parts.database).series_that_fit(text) if text else None
    return JobFilter(
        states=wanted.state,
        sender=wanted.sender,
        series_uid=wanted.series,
        since=wanted.since,
        bundle=wanted.bundle,
        default_bundle=parts.bundles.name(None),
        text=text,
        of_patient=of_patient,
    )


async def _from_upload(request: Request, parts: Parts, key: GivenKey) -> JobView:
    declared = int(request.headers.get("content-length", "0"))
    with staged(parts.settings, declared) as folder:
        form = await read_form(request.stream(), request.headers["content-type"], folder)
        job, intake = await run_in_threadpool(_submit_form, parts, form, key)
    parts.metrics.instances.inc(intake.received)
    return parts.view(job).model_copy(update={"upload": intake})


def _submit_form(parts: Parts, form: Form, key: GivenKey) -> tuple[Job, Intake]:
    options = _options(form)
    fingerprint = fingerprint_of(options.model_dump_json(), files=form.files if key.key else ())
    submission = Submission(parts.settings, parts.inbox, parts.jobs)
    return submission.submit(form.files, options, idempotency=key.of(fingerprint))


def _submit_series(parts: Parts, wanted: SeriesRequest, idempotency: IdempotencyKey | None) -> Job:
    return parts.jobs.submit(wanted.series_instance_uid, **wanted.wishes(idempotency=idempotency))


def _options(form: Form) -> JobOptions:
    given = {name: value for name, value in form.fields.items() if value != ""}
    try:
        return JobOptions.model_validate(given)
    except ValidationError as error:
        raise invalid_request(error.errors()) from None


def _series_request(body: bytes) -> SeriesRequest:
    try:
        return SeriesRequest.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error.errors()) from None
