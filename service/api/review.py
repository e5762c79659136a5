"""What a result is reviewed by: the figures with their contours, and the CT's slices as raw CT numbers."""

import gzip
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi import Path as PathParameter
from starlette.responses import FileResponse, Response

from service.api.parts import JobDep
from service.api.results import IfNoneMatch, etag_of, file_answer, matches, no_such_file
from service.job import Job
from service.problems import Problem
from service.schemas import JOBS_PATH
from worker.job_folder import REVIEW_NAME, SLICES_NAME
from worker.review_document import Review
from worker.slice_pack import SliceBytes, read_slice

router = APIRouter(prefix=f"{JOBS_PATH}/{{job_id}}", tags=["results"])

MAX_SLICES = 1_000_000

AcceptEncoding = Annotated[str, Header()]
SliceNumber = Annotated[int, PathParameter(ge=0, lt=MAX_SLICES)]


@router.get("/review", response_class=FileResponse, responses={200: {"model": Review}})
def get_review(job: JobDep, if_none_match: IfNoneMatch = None) -> Response:
    """Contours in pixels, bands, places to look at, checks and findings of a job that is done."""
    _reviewed(job, REVIEW_NAME)
    return file_answer(job, REVIEW_NAME, media_type="application/json", known_etags=if_none_match)


@router.get("/slices/{index}", response_class=Response)
def get_slice(
    job: JobDep, index: SliceNumber, accept_encoding: AcceptEncoding = "", if_none_match: IfNoneMatch = None
) -> Response:
    """One slice of the CT, counted from 0 as the review counts: rows x columns int16 HU, little-endian, row by row."""
    path = _reviewed(job, SLICES_NAME)
    headers = {"ETag": f'{etag_of(path)[:-1]}-{index}"', "Vary": "Accept-Encoding"}
    if if_none_match is not None and matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    found = read_slice(path, index)
    if found is None:
        raise Problem(
            404,
            "no-slice",
            detail=f"The series has no slice {index}.",
            remedy="Count slices from 0; the review's grid says how many there are.",
        )
    return _answer(found, headers, is_gzip_welcome="gzip" in accept_encoding.lower())


def _answer(found: SliceBytes, headers: dict[str, str], *, is_gzip_welcome: bool) -> Response:
    headers = headers | {"X-Penumbra-Rows": str(found.rows), "X-Penumbra-Columns": str(found.columns)}
    if is_gzip_welcome:
        headers["Content-Encoding"] = "gzip"
    body = found.gzipped if is_gzip_welcome else gzip.decompress(found.gzipped)
    return Response(body, headers=headers, media_type="application/octet-stream")


def _reviewed(job: Job, name: str) -> Path:
    """Where the file lies; a result that was made before there were reviews is told from one that is not there."""
    if job.state != "done" or job.result_dir is None:
        raise no_such_file(job)
    path = job.result_dir / name
    if not path.is_file():
        raise Problem(
            404,
            "no-review",
            detail="This result was made by a version of Penumbra that kept nothing to review.",
            remedy="Run the job again to review it; its RTSTRUCT can be fetched as it is.",
        )
    return path
