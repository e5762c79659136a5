"""A server that does not wait for ever: headers have a deadline, bodies a pace, readers a limit.

uvicorn has neither (Kludex/uvicorn #157), so a hundred half-open connections would stop it for everybody.
"""

import asyncio
from typing import Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_DEADLINE_S = 10.0  # from the connection, or from a later request's first byte, to its last header
BODY_WINDOW_S = 15.0  # a body is looked at this often …
BODY_WINDOW_BYTES = 64 * 1024  # … and has to have grown by this much (about 35 kbit/s)
READER_DEADLINE_S = 60.0  # a client that takes nothing of its answer for so long has gone

Phase = Literal["headers", "body", "quiet"]


class DeadlineProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with the deadlines above; a connection that misses one is cut."""

    header_deadline_s: float = HEADER_DEADLINE_S
    body_window_s: float = BODY_WINDOW_S
    body_window_bytes: int = BODY_WINDOW_BYTES
    reader_deadline_s: float = READER_DEADLINE_S

    _phase: Phase = "quiet"
    _timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None
    _window_bytes: int = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: it owes us a request."""
        super().connection_made(transport)
        self._enter("headers")

    def data_received(self, data: bytes) -> None:
        """Bytes of a request have come in."""
        self._window_bytes += len(data)
        super().data_received(data)
        self._enter(self._current_phase())

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._enter("quiet")
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take its answer: it gets a while to go on."""
        super().pause_writing()
        self._reader_timer = self.loop.call_later(self.reader_deadline_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken some of its answer."""
        self._stop_waiting_for_reader()
        super().resume_writing()

    def _stop_waiting_for_reader(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _current_phase(self) -> Phase:
        if self.transport.is_closing():
            return "quiet"
        if self.conn.their_state is h11.IDLE:
            return "headers"
        return "body" if self.conn.their_state is h11.SEND_BODY else "quiet"

    def _enter(self, phase: Phase) -> None:
        if phase == self._phase:
            return
        self._phase = phase
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if phase != "quiet":
            self._arm()

    def _arm(self) -> None:
        self._window_bytes = 0
        wait_s = self.header_deadline_s if self._phase == "headers" else self.body_window_s
        self._timer = self.loop.call_later(wait_s, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._phase == "body" and self._keeps_pace():
            self._arm()
            return
        self.transport.abort()

    def _keeps_pace(self) -> bool:
        # While we ourselves have stopped reading (a slow disk), the client is not to blame.
        return self.flow.read_paused or self._window_bytes >= self.body_window_bytes
