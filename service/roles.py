"""Roles, what each may do, and what each route needs.

A route that no rule names needs what its method suggests: reading needs READ, anything else OPERATE. `OWN` is
the right to read and stop jobs that one submitted oneself (`service/ownership.py` looks whose a job is).
"""

import re
from enum import Flag, StrEnum, auto
from typing import NamedTuple


class Right(Flag):
    """What somebody may do."""

    NONE = 0
    SUBMIT = auto()
    OWN = auto()
    READ = auto()
    OPERATE = auto()
    ADMIN = auto()


class Role(StrEnum):
    """What a token or a login is for."""

    SUBMIT = "submit"
    VIEW = "view"
    OPERATE = "operate"
    ADMIN = "admin"


RIGHTS: dict[Role, Right] = {
    Role.SUBMIT: Right.SUBMIT | Right.OWN,
    Role.VIEW: Right.READ,
    Role.OPERATE: Right.SUBMIT | Right.READ | Right.OPERATE,
    Role.ADMIN: Right.SUBMIT | Right.READ | Right.OPERATE | Right.ADMIN,
}
ANYBODY = Right.SUBMIT | Right.READ  # every role has one of these
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Rule(NamedTuple):
    """Requests of these methods to paths of this form need any one of these rights."""

    methods: frozenset[str]
    path: re.Pattern[str]
    needs: Right


def _rule(methods: str, path: str, needs: Right) -> Rule:
    return Rule(frozenset(methods.split()), re.compile(path), needs)


_JOB = "/api/v1/jobs/[^/]+"
RULES = (  # the first that fits counts
    _rule("GET HEAD POST PUT PATCH DELETE", "/api/v1/(tokens|audit|webhooks)(/.*)?", Right.ADMIN),
    _rule("GET HEAD", "/api/v1/(bundles|session|openapi\\.json)", ANYBODY),
    _rule("POST", "/api/v1/session/logout", ANYBODY),
    _rule("POST", "/api/v1/jobs", Right.SUBMIT),
    _rule("GET HEAD", "/api/v1/(jobs|events|patients)", Right.READ | Right.OWN),
    _rule("GET HEAD", f"{_JOB}(/.*)?", Right.READ | Right.OWN),
    _rule("POST", f"{_JOB}/(cancel|retry|rerun)", Right.OPERATE | Right.OWN),
    _rule("PUT", f"{_JOB}/(verdict|looked)", Right.OPERATE | Right.OWN),
    _rule("POST", "/dicomweb/.*", Right.SUBMIT),
)


def right_needed(method: str, path: str) -> Right:
    """The rights of which a request needs one."""
    for rule in RULES:
        if method in rule.methods and rule.path.fullmatch(path):
            return rule.needs
    return Right.READ if method in READING else Right.OPERATE


def may(role: str | None, method: str, path: str) -> bool:
    """Whether that role may send that request; no role may send none."""
    return role is not None and bool(RIGHTS[Role(role)] & right_needed(method, path))


def sees_only_own(role: str | None) -> bool:
    """Whether that role's view ends at what it submitted itself. Penumbra's own processes have no role."""
    return role is not None and not RIGHTS[Role(role)] & Right.READ
