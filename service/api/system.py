"""How things stand, over REST; for the page of whoever runs Penumbra."""

from datetime import datetime
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from service.api.parts import PartsDep
from service.overview import Disk, overview
from service.schemas import API_PATH

router = APIRouter(prefix=f"{API_PATH}/system", tags=["system"])


class WorkerView(BaseModel):
    """A worker that showed itself during the last day, and its host's GPUs."""

    name: str
    host: str
    queue: str
    seen_at: datetime
    lives: bool
    gpus: list[dict[str, Any]]
    at_work_on: str | None


class TroubleView(BaseModel):
    """Something that went wrong. `kind` is job, delivery or association; `of` names which one."""

    kind: str
    of: str
    job_id: str | None
    at: datetime
    words: str


class SystemView(BaseModel):
    """Jobs by state, results by node that does not have them yet, disk, workers, the latest errors.

    `waits_long`: the oldest queued job has waited for so long that somebody should look.
    """

    version: str
    jobs: dict[str, int]
    oldest_waiting_s: float | None
    waits_long: bool
    undelivered: dict[str, int]
    disk: Disk
    workers: list[WorkerView]
    troubles: list[TroubleView]


@router.get("")
def get_system(parts: PartsDep) -> SystemView:
    """How things stand at this moment."""
    found = overview(parts.settings, parts.database)
    return SystemView.model_validate({"version": version("penumbra-rt"), **vars(found)}, from_attributes=True)
