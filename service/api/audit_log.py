"""The audit log over REST, for the role admin."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import select

from service import audit
from service.api.parts import PartsDep
from service.audit import Action
from service.records import AuditRecord
from service.schemas import API_PATH

router = APIRouter(prefix=f"{API_PATH}/audit", tags=["audit"])


class EventView(BaseModel):
    """One event. `at` is seconds since 1970 (UTC)."""

    seq: int
    at: float
    action: str
    outcome: str
    actor: str
    role: str | None
    address: str | None
    series_uid: str | None
    study_uid: str | None
    job_id: str | None
    subject: str | None
    detail: dict[str, Any]
    hash: str

    @classmethod
    def of(cls, event: AuditRecord) -> "EventView":
        """The view of an event."""
        fields = {name: getattr(event, name) for name in cls.model_fields}
        return cls.model_validate(fields | {"detail": json.loads(event.detail)})


class EventList(BaseModel):
    """Some events in their order; ask again `after` the last one."""

    events: list[EventView]


@router.get("")
def list_events(
    parts: PartsDep,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EventList:
    """Events after that number, oldest first. That somebody read is an event too."""
    query = select(AuditRecord).where(AuditRecord.seq > after).order_by(AuditRecord.seq).limit(limit)
    with parts.database.write() as session:
        found = EventList(events=[EventView.of(event) for event in session.scalars(query)])
        audit.record(session, Action.AUDIT_READ, after=after)
    return found
