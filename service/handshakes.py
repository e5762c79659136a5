"""TLS handshakes away from the accept loop, within a time limit and a number: a silent client blocks nobody.

Stock pynetdicom shakes hands in the accept loop: one client that connects and says nothing stops the listener.
"""

import socket
import ssl
import threading
from collections import Counter

import structlog

log = structlog.get_logger(__name__)


class Handshakes:
    """Handshakes under way, counted by address. One per listening port."""

    def __init__(self, context: ssl.SSLContext, patience_s: float) -> None:
        self._context = context
        self._patience_s = patience_s
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, address: str) -> None:
        """A connection has been accepted; count it until `finish`."""
        with self._lock:
            self._open[address] += 1

    def open_addresses(self) -> list[str]:
        """The address of every handshake under way."""
        with self._lock:
            return list(self._open.elements())

    def finish(self, connection: socket.socket, address: str) -> ssl.SSLSocket | None:
        """Shake hands; None, and a line in the log, if that fails or takes too long. Call it in a thread of its own."""
        try:
            connection.settimeout(self._patience_s)
            wrapped = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            wrapped.do_handshake()  # the time limit holds for the whole of it
        except OSError as error:
            log.warning("TLS handshake failed", address=address, cause=_cause(error))
            return None
        finally:
            with self._lock:
                self._open[address] -= 1
                self._open += Counter()  # drops what is at zero
        return wrapped


def _cause(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "too slow"
    reason = getattr(error, "reason", None)  # OpenSSL's short name; its long text may quote the certificate
    return type(error).__name__ if reason is None else str(reason).replace("_", " ").lower()
