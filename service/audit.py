"""The audit log: who did what to which series. Rows are only ever added, each with a hash over the one before.

`record` belongs into the transaction of what it tells of: both are kept or neither.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy.orm import Session

from service.actor import NAME_CHARACTERS, Actor, current_actor
from service.audit_actions import Action
from service.records import AuditHeadRecord, AuditRecord, JobRecord

__all__ = ["Action", "about_job", "record"]

Outcome = Literal["success", "failure"]
Plain = str | int | float | bool | None
FIRST_HASH = "0" * 64
ROOM = {"series_uid": 64, "study_uid": 64, "job_id": 36, "subject": 128}
HASHED = "seq at action outcome actor role address series_uid study_uid job_id subject detail".split()


def record(
    session: Session,
    action: Action,
    *,
    actor: Actor | None = None,
    outcome: Outcome = "success",
    **about: Plain,
) -> None:
    """Add one event, in the caller's writing transaction.

    Args:
        session: a session of `Database.write`, which lets one writer in at a time: that keeps the chain whole.
        action: what happened.
        actor: who did it; None means whoever acts in this context (`service/actor.py`).
        outcome: whether it was done.
        about: `series_uid`, `study_uid`, `job_id`, `subject` (another thing it was done to: a token's id, a
            node, a path), and any further fact under a name of its own. Never a patient's name, id or dates.
    """
    who = actor or current_actor()
    head = session.get_one(AuditHeadRecord, 1)
    known = {name: _text(about.pop(name, None), room) for name, room in ROOM.items()}
    event = AuditRecord(
        seq=head.seq + 1,
        at=time.time(),
        action=action.value,
        outcome=outcome,
        actor=_text(who.user_id, NAME_CHARACTERS),
        role=who.role,
        address=_text(who.address, 64),
        detail=_canonical(about),
        previous_hash=head.hash,
        **known,
    )
    event.hash = digest(event)
    session.add(event)
    head.seq, head.hash = event.seq, event.hash


def about_job(job: JobRecord) -> dict[str, Any]:
    """What the log says of a job: its id, its series, its study."""
    return {"job_id": job.id, "series_uid": job.series_uid, "study_uid": job.study_uid}


def digest(event: AuditRecord) -> str:
    """SHA-256 (hexadecimal) over the hash of the event before and everything this one says."""
    said = {name: getattr(event, name) for name in HASHED}
    return hashlib.sha256(f"{event.previous_hash}\n{_canonical(said)}".encode()).hexdigest()


def _text(value: Plain, room: int) -> str | None:
    """What fits the column. An AE title comes from the network as it likes; PostgreSQL takes no NUL."""
    return None if value is None else "".join(c if c.isprintable() else "?" for c in str(value))[:room]


def _canonical(values: Mapping[str, Plain]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
