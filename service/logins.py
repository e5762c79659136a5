"""Logins of the page: a random cookie whose hash is in the database, so that logging out ends it everywhere."""

import hashlib
import hmac
import secrets
import time

from sqlalchemy import delete

from service import audit
from service.actor import Actor
from service.audit import Action
from service.database import Database
from service.records import LoginRecord
from service.roles import Role

SECRET_BYTES = 32
KEPT_S = 30 * 86400.0


class Logins:
    """Who is logged in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, name: str, role: Role, *, hours: float, address: str | None = None) -> str:
        """Log somebody in, and return the cookie's value.

        Args:
            name: what the identity provider calls them; a member of staff, never a patient.
            role: what they may do until they log in again.
            hours: how long it lasts.
            address: where they are.
        """
        cookie, now = secrets.token_urlsafe(SECRET_BYTES), time.time()
        actor = Actor(kind="session", name=name, role=role, address=address)
        with self._database.write() as session:
            session.execute(delete(LoginRecord).where(LoginRecord.expires_at < now - KEPT_S))
            session.add(
                LoginRecord(
                    sha256=_sha256(cookie),
                    name=name,
                    role=role,
                    created_at=now,
                    expires_at=now + hours * 3600,
                )
            )
            audit.record(session, Action.LOGGED_IN, actor=actor)
        return cookie

    def holder(self, cookie: str) -> Actor | None:
        """Who is logged in with this cookie; None for nobody, or nobody any more."""
        with self._database.read() as session:
            login = session.get(LoginRecord, _sha256(cookie))
        if login is None or login.ended_at is not None or login.expires_at <= time.time():
            return None
        return Actor(kind="session", name=login.name, role=login.role)

    def end(self, cookie: str) -> None:
        """Log out: the cookie opens nothing any more, wherever it may have been copied to."""
        with self._database.write() as session:
            login = session.get(LoginRecord, _sha256(cookie))
            if login is not None and login.ended_at is None:
                login.ended_at = time.time()
                audit.record(session, Action.LOGGED_OUT)


def form_token(cookie: str) -> str:
    """What a changing request must bring besides the cookie: only our own page can read it."""
    return hashlib.sha256(f"form {cookie}".encode()).hexdigest()


def has_form_token(cookie: str, given: str | None) -> bool:
    """Whether a request brought the token that belongs to its cookie."""
    return hmac.compare_digest(form_token(cookie).encode(), (given or "").encode())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
