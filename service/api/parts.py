"""What routes are handed: the service's parts, as types that FastAPI fills in."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.bundle_catalogue import BundleCatalogue
from service.database import Database
from service.events import JobFeed
from service.gate import Gate
from service.inbox import Inbox
from service.job import Job
from service.jobs import JobNotFound, Jobs
from service.metrics import Metrics
from service.schemas import JobView
from service.settings import ServiceSettings

JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything an application is made of; one per application, at `app.state.parts`."""

    settings: ServiceSettings
    database: Database
    jobs: Jobs
    inbox: Inbox
    feed: JobFeed
    bundles: BundleCatalogue
    metrics: Metrics
    gate: Gate

    def view(self, job: Job) -> JobView:
        """The job as clients see it."""
        bundle = self.bundles.name(job.bundle)
        return JobView.of(job, bundle=bundle, notice=self.bundles.notice(bundle))


def parts_of(request: Request) -> Parts:
    """The application's parts."""
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(parts_of)]


def job_of_path(job_id: str, parts: PartsDep) -> Job:
    """The job that the path names.

    Raises:
        JobNotFound: no job has this id; text that is no id is not even looked for.
    """
    if JOB_ID.fullmatch(job_id) is None:
        raise JobNotFound
    return parts.jobs.get(job_id)


JobDep = Annotated[Job, Depends(job_of_path)]
