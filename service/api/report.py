"""The report over REST, made when it is asked for: it holds the verdicts of that moment."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from service.api.parts import JobDep, Parts, PartsDep
from service.job import Job
from service.problems import Problem
from service.report_files import report_html
from service.report_pdf import pdf_in_turn
from service.schemas import JOBS_PATH

router = APIRouter(prefix=f"{JOBS_PATH}/{{job_id}}", tags=["results"])

NO_REPORT = Problem(
    404,
    "no-report",
    detail="The job has no report: it is not done, or its result is older than reports, or deleted.",
    remedy="Wait until it is done; run an old job again with /rerun.",
)


def _answer(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}}


@router.get("/report.html", response_class=Response, responses=_answer("text/html"))
def get_report(job: JobDep, parts: PartsDep) -> Response:
    """The report as one HTML file that needs no network; to be kept, not to be shown in a frame of the page."""
    return _file(job, _html(job, parts).encode(), "html", "text/html; charset=utf-8")


@router.get("/report.pdf", response_class=Response, responses=_answer("application/pdf"))
def get_report_pdf(job: JobDep, parts: PartsDep) -> Response:
    """The same as PDF, to print, sign and keep. 503 while several others are being made."""
    return _file(job, pdf_in_turn(_html(job, parts)), "pdf", "application/pdf")


def _html(job: Job, parts: Parts) -> str:
    html = report_html(job, parts.database)
    if html is None:
        raise NO_REPORT
    return html


def _file(job: Job, content: bytes, suffix: str, media_type: str) -> Response:
    # An attachment: the page's security policy lets no inline style through, and a report has one.
    name = f"penumbra-report-{job.id[:8]}.{suffix}"
    return Response(
        content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
