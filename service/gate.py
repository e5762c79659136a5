"""Decides on a request: who asks, may they, and not too often. No HTTP here: `service/access.py` speaks it."""

import hmac
from dataclasses import dataclass, replace

from sqlalchemy.exc import OperationalError

from service.actor import Actor
from service.audit_refusals import Refusals
from service.database import Database
from service.logins import Logins, has_form_token
from service.problems import Problem, database_away
from service.rate_limit import Busy, RateLimits
from service.roles import READING, Role, may
from service.settings import LOOPBACK, ServiceSettings
from service.tokens import Tokens
from worker.errors import PenumbraError

COOKIE = "__Host-penumbra"
FORM_HEADER = "x-penumbra-form"


class OpenDoor(PenumbraError):
    """The API would listen to a network and could let nobody in, or everybody."""

    code = "open-door"
    default_message = "The API would be open to the network without a token."
    default_remedy = (
        "Make one with `penumbra token create --role admin`, or set PENUMBRA_API_TOKEN, or keep "
        "PENUMBRA_API_HOST on this machine."
    )


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What of a request decides."""

    method: str
    path: str
    address: str
    bearer: str | None = None
    cookie: str | None = None
    """Of a login; looked at only where there is no bearer."""
    form_token: str | None = None


class Gate:
    """Who may pass."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        token = settings.api_token
        self._api_token = None if token is None else token.get_secret_value().encode()
        self._is_public = settings.api_host not in LOOPBACK
        self._tokens = Tokens(database)
        self._limits = RateLimits(settings.rates)
        self._refusals = Refusals(database)
        self._logins = None if settings.oidc is None else Logins(database)
        self._is_locked = self._api_token is not None or self._is_public or self._logins is not None

    def is_locked(self) -> bool:
        """Whether a token is asked for.

        It is as soon as the API listens to more than this machine, a token is set, or one was ever made: the
        door does not open again when the last one is revoked.
        """
        if not self._is_locked:
            self._is_locked = self._tokens.any_made()
        return self._is_locked

    def lets_in(self, cookie: str | None) -> bool:
        """Whether a page that has no token gets data: nobody needs one, or this cookie is of a login that goes on."""
        return not self.is_locked() or self._logged_in(cookie) is not None

    def admit(self, asked: Asked) -> Actor:
        """Let a request in, and say on whose behalf it acts.

        Raises:
            Problem: 401 for a stranger, 403 for too weak a role, 429 for too many, 503 without a database.
        """
        try:
            return self._admit(asked)
        except OperationalError as error:
            raise database_away() from error

    def refuse_an_open_door(self) -> None:
        """Called before the API begins to listen.

        Raises:
            OpenDoor: it listens to a network, and there is no valid token.
        """
        has_other_key = self._api_token is not None or self._logins is not None
        if self._is_public and not has_other_key and not self._tokens.any_valid():
            raise OpenDoor

    def refused(self, asked: Asked, problem: Problem, actor: Actor | None = None) -> Problem:
        """Note a refusal in the audit log, and return the answer to it."""
        who = actor or Actor(kind="local", name="stranger", address=asked.address)
        self._refusals.note(who, problem.code, method=asked.method)
        return problem

    def _admit(self, asked: Asked) -> Actor:
        if not self.is_locked():
            return Actor(kind="local", name="anybody", role=Role.ADMIN, address=asked.address)
        actor = self._holder(asked)
        if actor is None:
            raise self.refused(asked, self._stranger(asked))
        actor = replace(actor, address=asked.address)
        if actor.kind == "session" and _is_forged(asked):
            raise self.refused(asked, FORGED, actor)
        if not may(actor.role, asked.method, asked.path):
            raise self.refused(asked, _too_weak(str(actor.role)), actor)
        if busy := self._limits.ask(actor, asked.method):
            raise self.refused(asked, _too_many(busy), actor)
        return actor

    def _holder(self, asked: Asked) -> Actor | None:
        bearer = asked.bearer
        if bearer is None:
            return self._logged_in(asked.cookie)
        if self._api_token is not None and hmac.compare_digest(bearer.encode(), self._api_token):
            return Actor(kind="token", name="PENUMBRA_API_TOKEN", role=Role.ADMIN)
        return self._tokens.holder(bearer)

    def _logged_in(self, cookie: str | None) -> Actor | None:
        if self._logins is None or cookie is None:
            return None
        return self._logins.holder(cookie)

    def _stranger(self, asked: Asked) -> Problem:
        busy = self._limits.refuse(asked.address)
        return _token_needed() if busy is None else _too_many(busy)


FORGED = Problem(
    403,
    "form-token-needed",
    detail="A login may change something only from Penumbra's own page.",
    remedy="Reload the page, then try again; programs use an API token.",
)


def _is_forged(asked: Asked) -> bool:
    """Whether a change comes with the cookie alone, which a browser sends for any page that makes it."""
    return asked.method not in READING and not has_form_token(asked.cookie or "", asked.form_token)


def _token_needed() -> Problem:
    return Problem(
        401,
        "token-needed",
        detail="This request needs an API token that is known, not expired and not revoked.",
        remedy="Send it as `Authorization: Bearer …`; `penumbra token create` makes one.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _too_weak(role: str) -> Problem:
    return Problem(
        403,
        "role-too-weak",
        detail=f"The role {role} may not do this.",
        remedy="Ask whoever runs Penumbra for a token with another role.",
    )


def _too_many(busy: Busy) -> Problem:
    return Problem(
        429,
        "too-many-requests",
        detail="Too many requests in a short time.",
        remedy=f"Wait {busy.retry_after_s} s, then go on more slowly.",
        headers={"Retry-After": str(busy.retry_after_s)},
    )
