"""API tokens: made once, shown once, kept as a hash. A row is never deleted, so that the log stays readable."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from service import audit
from service.actor import Actor, current_actor
from service.audit import Action
from service.database import Database
from service.records import TokenRecord
from service.roles import Role
from worker.errors import PenumbraError

SECRET_BYTES = 32
ID_BYTES = 6
FORM = re.compile(r"pnb_([0-9a-f]{12})_[\w-]{43}")
NOTED_EVERY_S = 600.0
DAY_S = 86400.0


class TokenNotFound(PenumbraError):
    """No token has this id."""

    code = "token-not-found"
    default_message = "There is no such token."
    default_remedy = "List the tokens to see their ids."


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is known of a token; the secret itself is not."""

    id: str
    label: str
    role: Role
    created_at: float
    created_by: str
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None

    def is_valid(self, now: float) -> bool:
        """Whether it opens anything at that time (seconds since 1970)."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def state(self) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.is_valid(time.time()) else "expired"


class Tokens:
    """The tokens in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, role: Role, *, label: str = "", days: float | None = None) -> tuple[Token, str]:
        """Make a token. The text is returned this once and nowhere kept: only its SHA-256 is.

        Args:
            role: what it may do.
            label: whose or what for; not a patient.
            days: how long it is valid; None means until it is revoked.
        """
        token_id, now = secrets.token_hex(ID_BYTES), time.time()
        text = f"pnb_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        token = TokenRecord(
            id=token_id,
            sha256=_sha256(text),
            label=label,
            role=role.value,
            created_at=now,
            created_by=current_actor().user_id,
            expires_at=None if days is None else now + days * DAY_S,
        )
        with self._database.write() as session:
            session.add(token)
            audit.record(session, Action.TOKEN_CREATED, subject=token_id, given_role=role.value)
        return _token(token), text

    def list(self) -> Sequence[Token]:
        """All tokens, newest first, those that no longer open anything too."""
        with self._database.read() as session:
            found = session.scalars(select(TokenRecord).order_by(TokenRecord.created_at.desc()))
            return [_token(each) for each in found]

    def revoke(self, token_id: str) -> Token:
        """Make a token void, from the next request on. A void one stays as it is.

        Raises:
            TokenNotFound: no token has this id.
        """
        with self._database.write() as session:
            record = session.get(TokenRecord, token_id)
            if record is None:
                raise TokenNotFound
            if record.revoked_at is None:
                record.revoked_at = time.time()
                audit.record(session, Action.TOKEN_REVOKED, subject=token_id)
            return _token(record)

    def any_made(self) -> bool:
        """Whether a token was ever made, valid or not."""
        with self._database.read() as session:
            return bool(session.scalar(select(exists().where(TokenRecord.id.is_not(None)))))

    def any_valid(self) -> bool:
        """Whether anybody could come in with a token now."""
        now = time.time()
        return any(token.is_valid(now) for token in self.list())

    def holder(self, text: str) -> Actor | None:
        """Who holds this token; None for one that is unknown, expired or revoked."""
        form = FORM.fullmatch(text)
        if form is None:
            return None
        now = time.time()
        with self._database.read() as session:
            record = session.get(TokenRecord, form[1])
        if record is None or not hmac.compare_digest(record.sha256, _sha256(text)):
            return None
        if not _token(record).is_valid(now):
            return None
        if now - (record.last_used_at or 0.0) > NOTED_EVERY_S:
            self._note_use(record.id, now)
        return Actor(kind="token", name=record.id, role=record.role)

    def _note_use(self, token_id: str, now: float) -> None:
        with self._database.write() as session:
            _set_last_use(session, token_id, now)


def _set_last_use(session: Session, token_id: str, now: float) -> None:
    session.execute(update(TokenRecord).where(TokenRecord.id == token_id).values(last_used_at=now))


def _sha256(text: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(text.encode()).hexdigest()


def _token(record: TokenRecord) -> Token:
    return Token(
        id=record.id,
        label=record.label,
        role=Role(record.role),
        created_at=record.created_at,
        created_by=record.created_by,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
        last_used_at=record.last_used_at,
    )
