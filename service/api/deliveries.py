"""Deliveries over REST: what goes to which node and how it stands, and sending again by hand."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.api.parts import JOB_ID, JobDep, Parts, PartsDep
from service.deliveries import Deliveries, DeliveryNotFound, JobDelivery
from service.schemas import API_PATH, JOBS_PATH, DeliveryView

DELIVERIES_PATH = f"{API_PATH}/deliveries"

AeTitle = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")]
"""PS3.5 6.2: printable ASCII without the backslash."""

router = APIRouter(tags=["deliveries"])


class NodeRequest(BaseModel):
    """The node that is to get a result."""

    model_config = ConfigDict(extra="forbid")

    node: AeTitle


class JobDeliveryView(DeliveryView):
    """A delivery, and the job whose result it carries."""

    job_id: str
    created_at: datetime
    updated_at: datetime
    links: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, found: JobDelivery) -> Self:
        """`found` as clients see it."""
        shown = DeliveryView.model_validate(found.delivery, from_attributes=True)
        return cls(
            **shown.model_dump(),
            job_id=found.job_id,
            created_at=datetime.fromtimestamp(found.created_at, UTC),
            updated_at=datetime.fromtimestamp(found.updated_at, UTC),
            links={
                "job": f"{JOBS_PATH}/{found.job_id}",
                "resend": f"{DELIVERIES_PATH}/{found.delivery.id}/resend",
            },
        )


class DeliveryList(BaseModel):
    """Deliveries, newest first."""

    deliveries: list[JobDeliveryView]


@router.get(DELIVERIES_PATH)
def list_deliveries(
    parts: PartsDep,
    *,
    state: Literal["waiting", "sending", "delivered", "failed"] | None = None,
    node: AeTitle | None = None,
    job: Annotated[str | None, Query(pattern=JOB_ID.pattern, max_length=36)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> DeliveryList:
    """Deliveries, newest first."""
    found = _deliveries(parts).list(state=state, node=node, job_id=job, limit=limit)
    return DeliveryList(deliveries=[JobDeliveryView.of(each) for each in found])


@router.post(f"{DELIVERIES_PATH}/{{delivery_id}}/resend", status_code=202)
def resend_delivery(delivery_id: str, parts: PartsDep) -> JobDeliveryView:
    """Send a result once more, now, with its attempts counted anew."""
    if JOB_ID.fullmatch(delivery_id) is None:
        raise DeliveryNotFound
    return JobDeliveryView.of(_deliveries(parts).send_again(delivery_id))


@router.post(f"{JOBS_PATH}/{{job_id}}/deliveries", status_code=202)
def send_result(job: JobDep, wanted: NodeRequest, parts: PartsDep) -> JobDeliveryView:
    """Send a job's result to a node, whoever sent the series; again if it has been sent there."""
    return JobDeliveryView.of(_deliveries(parts).send(job.id, wanted.node))


def _deliveries(parts: Parts) -> Deliveries:
    return Deliveries(parts.settings, parts.database)
