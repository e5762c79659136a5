"""A planning system seen from outside: what it sent, what it was answered, what it got back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from service.probes import free_port

STORED = 0x0000
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
ANSWER_S = 60.0


@dataclass
class Sender:
    """Sends series and writes down every answer. One association per call; safe from several threads."""

    title: str
    answered: dict[str, Dataset] = field(default_factory=dict)
    """Instances that were answered 0x0000, by SOP Instance UID."""

    refused: dict[int, int] = field(default_factory=dict)
    """How many were answered with each other status."""

    def send(self, series: Sequence[Dataset], port: int) -> bool:
        """Send all; whether all were taken. A lost association is no error here, it is what is tried."""
        association = self.associate(port)
        if association is None:
            return False
        taken = [self.store(association, each) for each in series]
        if association.is_established:
            association.release()
        return all(taken)

    def send_until_taken(self, series: Sequence[Dataset], port: int, within_s: float = 300.0) -> bool:
        """Send again and again, as a planning system that is told to."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.send(series, port):
                return True
            time.sleep(0.3)
        return False

    def associate(self, port: int) -> Association | None:
        """An association with the listener on that port, or None."""
        entity = AE(self.title)
        entity.dimse_timeout = entity.network_timeout = ANSWER_S
        entity.acse_timeout = entity.connection_timeout = 10
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        try:
            association = entity.associate("127.0.0.1", port, ae_title="PENUMBRA")
        except RuntimeError:
            return None
        return association if association.is_established else None

    def store(self, association: Association, dataset: Dataset) -> bool:
        """C-STORE one instance; whether it was answered 0x0000."""
        try:
            status = association.send_c_store(dataset).get("Status")
        except (RuntimeError, ValueError):  # the association is gone
            return False
        if status == STORED:
            self.answered[str(dataset.SOPInstanceUID)] = dataset
        elif status is not None:
            self.refused[int(status)] = self.refused.get(int(status), 0) + 1
        return bool(status == STORED)


@dataclass
class Receiver:
    """A node that stores RTSTRUCTs, or misbehaves: `status` is answered, after `pause_s`."""

    title: str
    port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    status: int = STORED
    pause_s: float = 0.0
    dies_after_store: bool = False
    """Takes the object and then cuts the line instead of answering, once."""

    received: dict[str, list[str]] = field(default_factory=dict)
    """SOP Instance UIDs of what came, by study."""

    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Up for the length of a block."""
        entity = AE(self.title)
        entity.add_supported_context(RTStructureSetStorage, SYNTAXES)
        handlers: list[tuple[evt.EventType, object]] = [(evt.EVT_C_STORE, self._on_c_store)]
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()

    def _on_c_store(self, event: Event) -> int:
        time.sleep(self.pause_s)
        if self.status == STORED:
            with self._lock:
                study = self.received.setdefault(str(event.dataset.StudyInstanceUID), [])
                study.append(str(event.dataset.SOPInstanceUID))
                if self.dies_after_store:
                    self.dies_after_store = False
                    event.assoc.abort()
        return self.status
