"""Who acts: the person, program or node on whose behalf the code runs right now.

Set at each entrance (a request, an association, a command), read by `service/audit.py`. It travels with the
context: into the thread pool of a request, but not into another process.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["token", "session", "local", "node", "command", "system"]
NAME_CHARACTERS = 128


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One who acts. `name` is an AE title, a token's id, a login's subject, a user of this machine; no patient."""

    kind: ActorKind
    name: str
    role: str | None = None
    address: str | None = None

    @property
    def user_id(self) -> str:
        """Kind and name as one text, for instance `node:TPS`."""
        return f"{self.kind}:{self.name}"


SYSTEM = Actor(kind="system", name="penumbra")
_acting: ContextVar[Actor] = ContextVar("acting", default=SYSTEM)


def current_actor() -> Actor:
    """Who acts in this context; Penumbra itself where nobody else does."""
    return _acting.get()


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Everything inside happens on behalf of `actor`."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def node(ae_title: str, address: str | None = None) -> Actor:
    """A DICOM peer, by the AE title that it claims."""
    return Actor(kind="node", name=ae_title, address=address)


def command_line() -> Actor:
    """Whoever typed the command: a user of this machine."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without an entry
        name = str(os.getuid())
    return Actor(kind="command", name=name, role="admin")
