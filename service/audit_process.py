"""That a process of Penumbra began and ended: Application Activity (PS3.15 A.5.3.1)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.exc import OperationalError

from service import audit
from service.audit import Action
from service.database import Database


@contextmanager
def noted(database: Database, process: str) -> Iterator[None]:
    """Note the beginning and, however it comes, the end; one that was killed has a beginning only."""
    _note(database, Action.STARTED, process)
    try:
        yield
    finally:
        _note(database, Action.STOPPED, process)


def _note(database: Database, action: Action, process: str) -> None:
    with suppress(OperationalError), database.write() as session:
        audit.record(session, action, subject=process)
