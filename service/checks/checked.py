"""One thing that was looked at, in plain words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Checked:
    """What was looked at, whether it is in order, what was found, and what to do where it is not."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""


def good(what: str, detail: str) -> Checked:
    """In order."""
    return Checked(what, ok=True, detail=detail)


def bad(what: str, detail: str, remedy: str) -> Checked:
    """Not in order."""
    return Checked(what, ok=False, detail=detail, remedy=remedy)
