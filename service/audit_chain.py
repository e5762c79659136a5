"""Is the audit log what was written? Recomputes the chain and compares it with what was noted outside of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.audit import FIRST_HASH, digest
from service.records import AuditHeadRecord, AuditRecord

READ_AT_ONCE = 1000


@dataclass(frozen=True)
class Link:
    """The state of the chain after one event: its number and hash. Written `NUMBER:HASH`."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Link":
        """Read `NUMBER:HASH`.

        Raises:
            ValueError: the text has another form.
        """
        seq, _, found = text.strip().partition(":")
        if len(found) != len(FIRST_HASH):
            raise ValueError("a link of the chain is written NUMBER:HASH, with 64 hexadecimal digits")
        return cls(int(seq), found.lower())


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `verify` found. `faults` are sentences; none means whole."""

    head: Link
    faults: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was changed, cut out or cut off."""
        return not self.faults


def verify(session: Session, noted: list[Link]) -> Verdict:
    """Walk the chain from its first event.

    Args:
        session: a reading session.
        noted: links that were noted down earlier outside the database; each must be in the chain. A chain can
            be made anew by whoever may write the whole database, and only they show that.
    """
    last, faults = Link(0, FIRST_HASH), []
    wanted = {link.seq: link.hash for link in noted}
    for event in events(session):
        faults += _faults_of(event, last)
        if wanted.pop(event.seq, event.hash) != event.hash:
            faults.append(f"event {event.seq} is not the one that was noted outside the database")
        last = Link(event.seq, event.hash)
    head = session.get_one(AuditHeadRecord, 1)
    if Link(head.seq, head.hash) != last:
        faults.append(f"the last event is {last.seq}, but {head.seq} were written")
    faults += [f"event {seq}, noted outside the database, is missing" for seq in sorted(wanted) if seq > 0]
    return Verdict(head=last, faults=tuple(faults))


def events(session: Session, *, after: int = 0) -> Iterator[AuditRecord]:
    """All events in their order, without holding them all."""
    query = select(AuditRecord).where(AuditRecord.seq > after).order_by(AuditRecord.seq)
    yield from session.scalars(query.execution_options(yield_per=READ_AT_ONCE))


def _faults_of(event: AuditRecord, last: Link) -> list[str]:
    faults = []
    if event.seq != last.seq + 1:
        faults.append(f"event {last.seq + 1} is missing before event {event.seq}")
    elif event.previous_hash != last.hash:
        faults.append(f"event {event.seq} does not continue event {last.seq}")
    if digest(event) != event.hash:
        faults.append(f"event {event.seq} was changed")
    return faults
