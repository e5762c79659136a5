"""How PostgreSQL is spoken to, so that a host that falls silent does not hold up the others.

A connection whose other end is gone without a word (power, a cable, a firewall) would else be waited on for hours: by
us, and by the server, which keeps the locks of a write that was never finished.
"""

from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.exc import OperationalError

WRITER_LOCK: Final = 0x50454E554D425241  # "PENUMBRA"
SILENCE_S: Final = 30.0
"""A writer that says nothing for so long within a transaction is cut off by the server; its write never was."""

WIRE: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 40_000,  # ms
}
"""Parameters of libpq, in seconds; the settings' URL may name others."""

TURN: Final = text(
    "SELECT set_config('lock_timeout', :wait, true),"
    " set_config('idle_in_transaction_session_timeout', :silence, true), pg_advisory_xact_lock(:lock)"
)
"""One question, for every write asks it; its parts are answered in order."""

IDLE_IN_TRANSACTION: Final = "25P03"  # SQLSTATE, which the driver counts among its internal errors


def postgresql_engine(url: str) -> Engine:
    """An engine that notices a server that is gone, within a minute."""
    named = make_url(url).query
    wire: dict[str, Any] = {name: value for name, value in WIRE.items() if name not in named}
    engine = create_engine(url, pool_pre_ping=True, connect_args=wire)
    event.listen(engine, "handle_error", _name_rightly)
    return engine


def wait_for_turn(connection: Connection, wait_s: float) -> None:
    """Be the one who writes until the transaction ends.

    Raises:
        OperationalError: somebody else was it for longer than `wait_s`.
    """
    limits = {"wait": f"{wait_s:.0f}s", "silence": f"{SILENCE_S:.0f}s"}
    connection.execute(TURN, {**limits, "lock": WRITER_LOCK})


def _name_rightly(context: ExceptionContext) -> None:
    error = context.original_exception
    if getattr(error, "sqlstate", None) == IDLE_IN_TRANSACTION:
        raise OperationalError(context.statement, None, error) from error
