"""Progress as server-sent events: of one job until it ends, of all jobs for the page."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from service.api.parts import JobDep, PartsDep
from service.problems import Problem
from service.schemas import API_PATH, Progress

router = APIRouter(prefix=API_PATH, tags=["events"])


def room_to_listen(parts: PartsDep) -> None:
    """Refuse a listener too many before its stream begins.

    Raises:
        Problem: 503.
    """
    if not parts.feed.has_room:
        raise Problem(
            503,
            "too-many-listeners",
            detail="Too many clients are following events.",
            remedy="Close some, or ask for the job every few seconds instead.",
            headers={"Retry-After": "10"},
        )


Room = Annotated[None, Depends(room_to_listen)]


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def follow_job(job: JobDep, parts: PartsDep, _: Room) -> AsyncIterator[ServerSentEvent]:
    """Event `progress` now and with every change; event `end` once the job has ended, and no more."""
    async for changed in parts.feed.follow(job.id):
        yield ServerSentEvent(event="progress", data=Progress.of(changed), id=str(changed.version))
        if changed.has_ended:
            yield ServerSentEvent(event="end", data={"state": changed.state, "reason": changed.reason})


@router.get("/events", response_class=EventSourceResponse)
async def follow_all(parts: PartsDep, _: Room) -> AsyncIterator[ServerSentEvent]:
    """Event `ready` once nothing can be missed any more, then event `job` with every change of any job."""
    async for job in parts.feed.changes():
        if job is None:
            yield ServerSentEvent(event="ready", data={})
        elif await run_in_threadpool(parts.jobs.is_visible, job.id):
            yield ServerSentEvent(event="job", data=parts.view(job), id=str(job.version))
