"""What left the house over HTTP, into the audit log: ASGI middleware inside of `AccessControl`.

By path and not route by route, so that a new download is noted without its author's thinking of it. The event
is written before the first byte: what cannot be noted is not handed out.
"""

import re
import threading
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import audit
from service.actor import current_actor
from service.audit import Action
from service.audit_viewings import Viewer, Viewings
from service.database import BUSY_TIMEOUT_S, Database
from service.problems import Problem
from service.records import JobRecord

DELIVERING = frozenset({200, 206})
JOB_FILE = re.compile(
    r"/api/v1/jobs/(?P<job_id>[0-9a-f-]{36})/(?P<what>rtstruct|result|preview|review|everything|report\.html|report\.pdf|objects/.+)"
)
SLICES = (
    "slices"  # of the CT, looked at one after the other: one event for a look (`service/audit_viewings.py`)
)
SLICE = re.compile(r"/api/v1/jobs/(?P<job_id>[0-9a-f-]{36})/slices/[0-9]+")

UNAVAILABLE = Problem(
    503,
    "unavailable",
    detail="The audit log cannot be written, so nothing is handed out.",
    remedy="Try again; if it stays so, look at Penumbra's log and its host.",
)


class AuditAccess:
    """Notes downloads of what jobs have made. DICOMweb's routes note by themselves, since they know the series."""

    def __init__(self, app: ASGIApp, *, database: Database) -> None:
        self.app = app
        self.database = database
        self.viewings = Viewings()
        self._looking = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = what_leaves(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        is_refused = False

        async def noted(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start" and message["status"] in DELIVERING:
                is_refused = not await run_in_threadpool(self._is_noted, *found)
                if is_refused:
                    await UNAVAILABLE.response()(scope, receive, send)
            if not is_refused:
                await send(message)

        await self.app(scope, receive, noted)

    def _is_noted(self, action: Action, about: Mapping[str, str]) -> bool:
        if about["subject"] != SLICES:
            return self._is_recorded(action, about)
        who = current_actor()
        viewer = (who.user_id, who.address, about["job_id"])
        if self.viewings.is_noted(viewer):
            self.viewings.note(viewer)
            return True
        return self._is_look_recorded(viewer, action, about)

    def _is_look_recorded(self, viewer: Viewer, action: Action, about: Mapping[str, str]) -> bool:
        """One at a time, since the page asks for several slices at once: the first is the event."""
        if not self._looking.acquire(timeout=BUSY_TIMEOUT_S):
            return False  # those before wait for the database, and this one would wait for all of them
        try:
            is_noted = self.viewings.is_noted(viewer) or self._is_recorded(action, about)
            if is_noted:
                self.viewings.note(viewer)
            return is_noted
        finally:
            self._looking.release()

    def _is_recorded(self, action: Action, about: Mapping[str, str]) -> bool:
        try:
            with self.database.write() as session:
                job = session.get(JobRecord, about.get("job_id", ""))
                named: dict[str, Any] = {} if job is None else audit.about_job(job)
                audit.record(session, action, **{**about, **named})
        except OperationalError:
            return False
        return True


def what_leaves(method: str, path: str) -> tuple[Action, dict[str, str]] | None:
    """The event that an answer to this request is; None where none leaves anything of a series."""
    if method != "GET":
        return None
    if (slice_ := SLICE.fullmatch(path)) is not None:
        return Action.DOWNLOADED, {"job_id": slice_["job_id"], "subject": SLICES}
    found = JOB_FILE.fullmatch(path)
    return (
        None if found is None else (Action.DOWNLOADED, {"job_id": found["job_id"], "subject": found["what"]})
    )
