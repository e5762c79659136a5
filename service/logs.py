"""One line of JSON per event, on standard error, without patient data.

Only fields of the allow-list are written. pydicom and pynetdicom quote element values in their messages, so
they are silenced; an unexpected exception is named by type and place, never by its text.
"""

import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

ALLOWED_FIELDS = frozenset(
    "event level timestamp logger process job_id delivery_id series_instance_uid sop_instance_uid "
    "study_instance_uid sha256 state stage structure cause where fence attempts enqueue_count published "
    "node sender address called instances duplicate status refused worker waiting child pid code pause_s misses "
    "method route seconds bytes bundle version device port count".split()
)
SILENCED = ("pydicom", "pynetdicom", "celery.app.trace", "celery.redirected", "asyncio")
SILENT = logging.CRITICAL + 1

log = structlog.get_logger(__name__)


def configure_logging(process: str) -> None:
    """Set up structlog and the standard library's logging for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            lambda _logger, _method, event: {
                **event,
                "process": process,
            },  # in every thread, unlike a bound one
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_allowed_fields,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(logging.WARNING)
    for name in SILENCED:
        logging.getLogger(name).setLevel(SILENT)
    warnings.simplefilter("ignore")
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def keep_allowed_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Structlog processor: drop every field that is not known to be free of patient data."""
    return {name: value for name, value in event.items() if name in ALLOWED_FIELDS}


def place_of(error: BaseException) -> str:
    """File and line where an exception was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


class _ToStructlog(logging.Handler):
    """Other libraries' records. Their exceptions are named by type only."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= {"cause": type(record.exc_info[1]).__name__, "where": place_of(record.exc_info[1])}
            message = str(record.msg) if not record.args else "exception"
        else:
            message = record.getMessage()
        log.log(record.levelno, message, **fields)


def _log_uncaught(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("uncaught exception", cause=kind.__name__, where=place_of(error))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        _log_uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
