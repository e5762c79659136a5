"""Who has connected, or tried to: the last time of every AE title and address, for `penumbra peers list` and the page.

That tells whether a peer reaches us, and under which name and address a stranger knocked.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError

from service.database import Database
from service.door import Caller
from service.records import PeerContactRecord

FLUSH_S = 2.0
MOST_KEPT = 200
TITLE_CHARACTERS = 16

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Contact:
    """The last association that was asked for under an AE title from an address."""

    ae_title: str
    address: str
    called: str
    at: datetime
    refused: str | None
    """Why it was refused; None if it was accepted."""


class ContactBook:
    """Collects contacts and writes them down every `FLUSH_S`, so that no association waits for the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._new: dict[tuple[str, str], PeerContactRecord] = {}

    def note(self, caller: Caller, refused: str | None) -> None:
        """Somebody asked for an association. Of a crowd within one interval only so many are kept."""
        title, called = (_printable(each) for each in (caller.calling, caller.called))
        contact = PeerContactRecord(
            ae_title=title, address=caller.address[:64], called=called, at=time.time(), refused=refused
        )
        with self._lock:
            if len(self._new) < MOST_KEPT or (title, caller.address) in self._new:
                self._new[title, caller.address] = contact

    def flush(self) -> None:
        """Write down what is new; the oldest go when there are too many."""
        with self._lock:
            new, self._new = self._new, {}
        if not new:
            return
        with self._database.write() as session:
            for contact in new.values():
                session.merge(contact)
            session.flush()
            newest = select(PeerContactRecord.at).order_by(PeerContactRecord.at.desc())
            oldest_kept = session.scalar(newest.offset(MOST_KEPT - 1).limit(1))
            if oldest_kept is not None:
                session.execute(delete(PeerContactRecord).where(PeerContactRecord.at < oldest_kept))

    def run(self, stop: threading.Event) -> None:
        """Write down until asked to stop. What cannot be written is forgotten: the log has it too."""
        while not stop.wait(FLUSH_S):
            try:
                self.flush()
            except SQLAlchemyError as error:
                log.warning("contacts not noted", cause=type(error).__name__)


def contacts(database: Database) -> list[Contact]:
    """Every contact, the latest first."""
    with database.read() as session:
        found = session.scalars(select(PeerContactRecord).order_by(PeerContactRecord.at.desc()))
        return [
            Contact(
                ae_title=each.ae_title,
                address=each.address,
                called=each.called,
                at=datetime.fromtimestamp(each.at, UTC),
                refused=each.refused,
            )
            for each in found
        ]


def _printable(title: str) -> str:
    """An AE title comes from the network as it likes."""
    return "".join(c if c.isprintable() else "?" for c in title)[:TITLE_CHARACTERS]
