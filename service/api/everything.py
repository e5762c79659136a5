"""Everything that a job has made, as one zip."""

from collections.abc import Iterator
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from service.api.parts import JobDep
from service.api.results import no_such_file
from service.schemas import JOBS_PATH
from service.zip_stream import Member, zip_stream
from worker.job_folder import PREVIEW_NAME, RESULT_NAME, RTSTRUCT_NAME
from worker.object_files import objects_in

router = APIRouter(prefix=f"{JOBS_PATH}/{{job_id}}/everything", tags=["results"])


ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}


@router.get("", response_class=StreamingResponse, responses={200: {"content": ZIP}})
def get_everything(job: JobDep) -> StreamingResponse:
    """A zip of the RTSTRUCTs, the further objects, the report, the preview and result.json of a job that is done."""
    if job.result_dir is None or not (job.result_dir / RTSTRUCT_NAME).is_file():
        raise no_such_file(job)
    name = f"penumbra-{job.id[:8]}"
    return StreamingResponse(
        zip_stream(_members(job.result_dir, name)),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}.zip"'},
    )


def _members(folder: Path, name: str) -> Iterator[Member]:
    """The files of a result, in a folder of the zip."""
    paths = [*(each.path for each in objects_in(folder)), folder / RESULT_NAME, folder / PREVIEW_NAME]
    yield from (Member(f"{name}/{path.name}", path) for path in paths if path.is_file())
