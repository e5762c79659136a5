"""The newest link of the audit chain, noted outside the database every few minutes.

Whoever may write the whole database can cut its end off or make the chain anew; then what stands here is
missing from it. The file only grows; keep copies of it elsewhere.
"""

import os
import time

from service.audit_chain import Link
from service.database import Database
from service.records import AuditHeadRecord
from service.settings import ServiceSettings

NAME = "audit-anchors.txt"
EVERY_S = 300.0


class Anchor:
    """Notes the chain's newest link from time to time. Several processes may do so at once."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._path = settings.data_dir / NAME
        self._database = database
        self._last = 0
        self._next = 0.0

    def note_if_due(self) -> None:
        """Append one line if the chain has grown and the last line is old enough."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        with self._database.read() as session:
            head = session.get_one(AuditHeadRecord, 1)
        if head.seq <= self._last:
            return
        self._last = head.seq
        line = f"{Link(head.seq, head.hash)}\n".encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)  # one write, so that two processes' lines do not mix
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def anchored(settings: ServiceSettings) -> list[Link]:
    """What was noted; a line that a crash cut short is left out."""
    path = settings.data_dir / NAME
    if not path.exists():
        return []
    return [link for line in path.read_text().splitlines() if (link := _link(line)) is not None]


def _link(line: str) -> Link | None:
    try:
        return Link.parse(line)
    except ValueError:
        return None
