"""Over REST: which places of "look here" were looked at, by whom."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.actor import current_actor
from service.api.parts import JobDep, PartsDep
from service.looked import Look, LookedPlaces
from service.schemas import JOBS_PATH

PlaceKey = Annotated[str, StringConstraints(min_length=1, max_length=96, pattern=r"^[A-Za-z0-9_:. -]+$")]

router = APIRouter(prefix=f"{JOBS_PATH}/{{job_id}}/looked", tags=["verdict"])


class LookedRequest(BaseModel):
    """Place's key -> whether one has looked at it. Places that are not named stay as they are."""

    model_config = ConfigDict(extra="forbid")

    places: Annotated[dict[PlaceKey, bool], Field(max_length=64)]


class JobLooked(BaseModel):
    """Who has looked where."""

    job_id: str
    me: str
    """Whoever asks, as the audit log names them."""
    mine: list[str]
    """Keys of the places that whoever asks has looked at."""
    looks: list[Look]
    """Everybody's, oldest first."""


@router.get("")
def get_looked(job: JobDep, parts: PartsDep) -> JobLooked:
    """Which of the review's places (`look_here`) were looked at, by whom and when."""
    return _told(job.id, LookedPlaces(parts.database).of(job.id))


@router.put("")
def put_looked(job: JobDep, wanted: LookedRequest, parts: PartsDep) -> JobLooked:
    """Tick places off, or take ticks back, as oneself. The report tells who has looked where."""
    return _told(job.id, LookedPlaces(parts.database).tick(job, wanted.places))


def _told(job_id: str, looks: Sequence[Look]) -> JobLooked:
    me = current_actor().user_id
    return JobLooked(
        job_id=job_id,
        me=me,
        mine=[each.place for each in looks if each.reviewer == me],
        looks=list(looks),
    )
