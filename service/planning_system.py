"""A planning system in small, for the demonstration and for trying a connection: sends CT, receives RTSTRUCT."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
)
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from worker.delivery import Node, send

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]


@dataclass
class PlanningSystem:
    """One node with an AE title and a port; keeps every RTSTRUCT it receives in `folder`."""

    ae_title: str
    port: int
    folder: Path
    _received: list[Path] = field(default_factory=list)
    _arrived: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Answer C-ECHO and take RTSTRUCTs by C-STORE until the block is left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ae = AE(self.ae_title)
        for storage in (RTStructureSetStorage, CTImageStorage):
            ae.add_supported_context(storage, SYNTAXES)
        ae.add_supported_context(Verification)
        server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._on_c_store)]
        )
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()

    def send(self, files: Sequence[Path], *, port: int, called: str) -> int:
        """Send files to a node on this machine by C-STORE; returns how many it took."""
        node = Node(ae_title=called, host="127.0.0.1", port=port)
        return len(send(files, node, calling_ae=self.ae_title))

    def wait_for_one(self, timeout_s: float) -> Path | None:
        """The first file received, or None when none came in time."""
        return self._received[0] if self._arrived.wait(timeout_s) else None

    def _on_c_store(self, event: Event) -> int:
        """C-STORE: keep the bytes, then answer 0x0000 (PS3.4 B.2.3)."""
        path = self.folder / f"{len(self._received):06d}.dcm"
        path.write_bytes(event.encoded_dataset())
        self._received.append(path)
        self._arrived.set()
        return 0x0000
