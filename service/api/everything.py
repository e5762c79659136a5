"""Everything that a job has made, as one zip."""

from pathlib import Path
from typing import cast

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from service.api.parts import JobDep, Parts, PartsDep
from service.api.results import no_such_file
from service.job import Job
from service.report_files import report_html
from service.report_pdf import pdf_in_turn
from service.schemas import JOBS_PATH
from service.zip_stream import Member, zip_stream
from worker.job_folder import PREVIEW_NAME, RESULT_NAME, RTSTRUCT_NAME
from worker.object_files import PAGE_NAME, objects_in
from worker.report.pdf import NoPdf

router = APIRouter(prefix=f"{JOBS_PATH}/{{job_id}}/everything", tags=["results"])


ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}


@router.get("", response_class=StreamingResponse, responses={200: {"content": ZIP}})
def get_everything(job: JobDep, parts: PartsDep) -> StreamingResponse:
    """A zip of the RTSTRUCTs, the further objects, the report, the preview and result.json of a job that is done."""
    if job.result_dir is None or not (job.result_dir / RTSTRUCT_NAME).is_file():
        raise no_such_file(job)
    name = f"penumbra-{job.id[:8]}"
    return StreamingResponse(
        zip_stream(_members(job, parts, name)),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}.zip"'},
    )


def _members(job: Job, parts: Parts, name: str) -> list[Member]:
    """The files of a result and its report of now, in a folder of the zip.

    The PDF is made before the first byte is sent, as it may be refused. Where none can be made, the one that the
    worker made goes along, if there is one.
    """
    folder = cast(Path, job.result_dir)
    html = report_html(job, parts.database)
    page = _page(html)
    paths = [*(each.path for each in objects_in(folder)), folder / RESULT_NAME, folder / PREVIEW_NAME]
    members = [
        Member(f"{name}/{path.name}", path)
        for path in paths
        if path.is_file() and (page is None or path.name != PAGE_NAME)
    ]
    if html is not None:
        members.append(Member(f"{name}/report.html", html.encode()))
    if page is not None:
        members.append(Member(f"{name}/{PAGE_NAME}", page))
    return members


def _page(html: str | None) -> bytes | None:
    try:
        return None if html is None else pdf_in_turn(html)
    except NoPdf:
        return None
