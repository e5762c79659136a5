"""What a job has made: the RTSTRUCT, result.json, the preview. Names come from the job's id alone."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import FileResponse, Response

from service.api.parts import JobDep
from service.job import Job
from service.problems import Problem
from service.schemas import JOBS_PATH, ObjectList
from worker.job_folder import PREVIEW_NAME, RESULT_NAME, RTSTRUCT_NAME

router = APIRouter(prefix=f"{JOBS_PATH}/{{job_id}}", tags=["results"])

MEDIA_TYPES = {"dcm": "application/dicom", "pdf": "application/pdf", "gz": "application/gzip"}

IfNoneMatch = Annotated[str | None, Header()]


@router.get("/rtstruct", response_class=FileResponse)
def get_rtstruct(job: JobDep, if_none_match: IfNoneMatch = None) -> Response:
    """The RTSTRUCT of a job that is done."""
    return file_answer(
        job,
        RTSTRUCT_NAME,
        media_type="application/dicom",
        download_name=f"rtstruct-{job.id}.dcm",
        known_etags=if_none_match,
    )


@router.get("/result", response_class=FileResponse)
def get_result(job: JobDep, if_none_match: IfNoneMatch = None) -> Response:
    """Volumes, quality, findings, times; also of a rejected job, with the reason."""
    return file_answer(job, RESULT_NAME, media_type="application/json", known_etags=if_none_match)


@router.get("/preview", response_class=FileResponse)
def get_preview(job: JobDep, if_none_match: IfNoneMatch = None) -> Response:
    """A picture of the contours on the CT."""
    return file_answer(job, PREVIEW_NAME, media_type="image/png", known_etags=if_none_match)


@router.get("/objects")
def list_objects(job: JobDep) -> ObjectList:
    """What the job has made to be sent or fetched: RTSTRUCT, and SEG, SR, PDF, NIfTI where they were asked for."""
    return ObjectList.of(job)


@router.get("/objects/{name}", response_class=FileResponse)
def get_object(job: JobDep, name: str, if_none_match: IfNoneMatch = None) -> Response:
    """One of the objects, by the name that the list gives it."""
    if name not in {each.name for each in ObjectList.of(job).objects}:
        raise no_such_file(job)
    return file_answer(
        job,
        name,
        media_type=MEDIA_TYPES[name.rpartition(".")[2]],
        download_name=f"{job.id}-{name}",
        known_etags=if_none_match,
    )


def file_answer(
    job: Job,
    name: str,
    *,
    media_type: str,
    download_name: str | None = None,
    known_etags: str | None = None,
) -> Response:
    """A file of a job's result, with its ETag; 304 where the client has it, Range where it asks for one.

    Raises:
        Problem: 404, there is no such file.
    """
    path = None if job.result_dir is None else job.result_dir / name
    if path is None or not path.is_file():
        raise no_such_file(job)
    etag = etag_of(path)
    if known_etags is not None and matches(known_etags, etag):
        return Response(status_code=304, headers={"ETag": etag})
    # FileResponse quotes the name as RFC 6266 wants it; it answers Range against our ETag.
    return FileResponse(path, media_type=media_type, filename=download_name, headers={"ETag": etag})


def no_such_file(job: Job) -> Problem:
    """What a client is told who asks for what the job has not made."""
    return Problem(
        404,
        "no-result",
        detail=f"The job is {job.state} and has no such file.",
        remedy="Follow /events until the job is done; see `reason` where it did not end well.",
    )


def etag_of(path: Path) -> str:
    """The ETag of a file of a published result."""
    # A published result is never changed, only replaced as a whole after a retry.
    status = path.stat()
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'


def matches(known_etags: str, etag: str) -> bool:
    """Whether If-None-Match names this ETag (RFC 9110 13.1.2)."""
    known = {each.strip().removeprefix("W/") for each in known_etags.split(",")}
    return "*" in known or etag in known
