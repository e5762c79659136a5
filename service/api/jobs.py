"""Jobs over REST: submit, list, look, cancel, retry."""

import errno
import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from service.api.parts import JobDep, Parts, PartsDep
from service.inbox import OutOfSpace
from service.job import Job, JobState
from service.problems import Problem, invalid_request
from service.schemas import JOBS_PATH, JobList, JobOptions, JobView, SeriesRequest
from service.submission import Submission
from service.upload import Form, read_form, staging_folder

router = APIRouter(prefix=JOBS_PATH, tags=["jobs"])

STAGING_NAME = "uploads"
FORM_DESCRIPTION = {
    "type": "object",
    "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "passes": {"type": "integer", "minimum": 1},
        "seed": {"type": "integer", "minimum": 0},
        "bundle": {"type": "string"},
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


@router.post("", status_code=202, openapi_extra=BODY_DESCRIPTION)
async def create_job(request: Request, response: Response, parts: PartsDep) -> JobView:
    """Queue a job: for uploaded files (a zip, or the DICOM files of one series), or for a received series."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        view = await _from_upload(request, parts)
    elif kind == "application/json":
        wanted = _series_request(await request.body())
        view = parts.view(await run_in_threadpool(_submit_series, parts, wanted))
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
def list_jobs(
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=100, pattern=r"^[0-9.e+]+_[0-9a-f-]{36}$")] = None,
    state: JobState | None = None,
) -> JobList:
    """Jobs, newest first."""
    page = parts.jobs.list(limit=limit, cursor=cursor, state=state)
    return JobList(jobs=[parts.view(job) for job in page.jobs], next_cursor=page.next_cursor)


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


async def _from_upload(request: Request, parts: Parts) -> JobView:
    declared = int(request.headers.get("content-length", "0"))
    _require_space(parts, 2 * declared)
    try:
        with staging_folder(parts.settings.data_dir / STAGING_NAME) as folder:
            form = await read_form(request.stream(), request.headers["content-type"], folder)
            options = _options(form)
            submission = Submission(parts.settings, parts.inbox, parts.jobs)
            job, intake = await run_in_threadpool(submission.submit, form.files, options)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise OutOfSpace from error
    parts.metrics.instances.inc(intake.received)
    return parts.view(job).model_copy(update={"upload": intake})


def _submit_series(parts: Parts, wanted: SeriesRequest) -> Job:
    return parts.jobs.submit(
        wanted.series_instance_uid, passes=wanted.passes, seed=wanted.seed, bundle=wanted.bundle
    )


def _require_space(parts: Parts, needed_bytes: int) -> None:
    """The body lies on the disk twice for a moment: as it came, and in the inbox."""
    if shutil.disk_usage(parts.settings.data_dir).free - needed_bytes < parts.settings.min_free_bytes:
        raise OutOfSpace


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
