"""Changes of jobs, as they happen, for any number of listeners at the price of one look into the database.

Nothing piles up for a slow listener: of each job it gets the latest state and not every state between.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from service.job import Job
from service.jobs import Jobs

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.3
MAX_LISTENERS = 256


class JobFeed:
    """Follows `Jobs.changes_since` while somebody listens."""

    def __init__(self, jobs: Jobs, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._jobs = jobs
        self._look_every_s = look_every_s
        self._listeners: set[_Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._version: int | None = None
        self._is_closed = False

    @property
    def has_room(self) -> bool:
        """Whether one more listener is allowed."""
        return len(self._listeners) < MAX_LISTENERS and not self._is_closed

    async def changes(self) -> AsyncIterator[Job | None]:
        """None once nothing can be missed any more, then every job that changes, until the feed is closed."""
        with self._listening() as listener:
            await self._start()
            yield None
            async for job in listener.jobs():
                yield job

    async def follow(self, job_id: str) -> AsyncIterator[Job]:
        """The job as it is now and whenever it changes; ends when it has ended.

        Raises:
            service.jobs.JobNotFound: no job has this id.
        """
        with self._listening() as listener:
            await self._start()
            job = await run_in_threadpool(self._jobs.get, job_id)
            yield job
            if job.has_ended:
                return
            async for changed in listener.jobs():
                if changed.id == job_id and changed.version > job.version:
                    yield changed
                    if changed.has_ended:
                        return

    def close(self) -> None:
        """End every listener's stream; for a server that shuts down."""
        self._is_closed = True
        for listener in self._listeners:
            listener.end()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    @contextmanager
    def _listening(self) -> Iterator["_Listener"]:
        listener = _Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _start(self) -> None:
        # The version is taken before a listener reads a job, so that no change falls between the two.
        if self._task is None and not self._is_closed:
            self._task = asyncio.create_task(self._look())
            self._version = None
        if self._version is None:
            version = await run_in_threadpool(self._jobs.version)
            self._version = version if self._version is None else self._version

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            if self._version is None:
                continue
            try:
                changed = await run_in_threadpool(self._jobs.changes_since, self._version)
            except SQLAlchemyError as error:
                log.warning("events cannot be read", cause=type(error).__name__)
                continue
            for job in changed:
                self._version = job.version
                for listener in self._listeners:
                    listener.put(job)


class _Listener:
    """One stream's waiting jobs, at most one state of each."""

    def __init__(self) -> None:
        self._waiting: dict[str, Job] = {}
        self._has_news = asyncio.Event()
        self._is_over = False

    def put(self, job: Job) -> None:
        self._waiting[job.id] = job
        self._has_news.set()

    def end(self) -> None:
        self._is_over = True
        self._has_news.set()

    async def jobs(self) -> AsyncIterator[Job]:
        while not self._is_over:
            await self._has_news.wait()
            self._has_news.clear()
            waiting, self._waiting = self._waiting, {}
            for job in waiting.values():
                yield job
