"""pynetdicom's server, made to stand peers that stall, lie about lengths or come in crowds.

Stock pynetdicom reads a PDU with a blocking `recv` that has no time limit and believes the length in its
header: a dozen half-open connections stop it, one connection fills the memory. Here a PDU must arrive whole
within a deadline and a size, a message within a size, and one address may hold only so many connections.
"""

import socket
import struct
import time
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from service.handshakes import Handshakes
from service.settings import ServiceSettings

OWN_PDU_BYTES = 128 * 1024
HEADER_BYTES = 6  # type, reserved, length (PS3.8 9.3.1)
P_DATA = 0x04
COMMAND_FRAGMENT, LAST_FRAGMENT = 0x01, 0x02  # message control header (PS3.8 E.2)
READ_BYTES = 64 * 1024


class PduReader:
    """Reads for one association in place of `AssociationSocket.recv`."""

    def __init__(self, transport: AssociationSocket, settings: ServiceSettings) -> None:
        self._transport = transport
        self._settings = settings
        self._pdu_type = 0
        self._message_bytes = 0

    def __call__(self, wanted_bytes: int) -> bytearray:
        """Read exactly so many bytes, or what came before the peer closed.

        Raises:
            OSError: too slow, too large, or the connection broke. The connection is closed then.
        """
        if wanted_bytes > OWN_PDU_BYTES:
            self._refuse("PDU too long")
        data = self._read(wanted_bytes)
        if wanted_bytes == HEADER_BYTES and self._pdu_type == 0 and len(data) == HEADER_BYTES:
            self._pdu_type = data[0]
            if int.from_bytes(data[2:], "big") == 0:
                self._pdu_type = 0
        else:
            if self._pdu_type == P_DATA:
                self._count(data)
            self._pdu_type = 0
        return data

    def _read(self, wanted_bytes: int) -> bytearray:
        connection = cast(socket.socket, self._transport.socket)
        deadline = time.monotonic() + self._settings.pdu_deadline_s
        data = bytearray()
        while len(data) < wanted_bytes:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                self._refuse("PDU too slow")
            connection.settimeout(left_s)
            part = connection.recv(min(READ_BYTES, wanted_bytes - len(data)))
            if not part:
                break
            data += part
        connection.settimeout(self._settings.pdu_deadline_s)
        return data

    def _count(self, pdu: bytearray) -> None:
        """Add up a message's dataset over its fragments."""
        place = 0
        while place + HEADER_BYTES <= len(pdu):
            length, _context, control = struct.unpack_from(">LBB", pdu, place)
            if not control & COMMAND_FRAGMENT:
                self._message_bytes += length
                if self._message_bytes > self._settings.max_instance_bytes:
                    self._refuse("message too long")
                if control & LAST_FRAGMENT:
                    self._message_bytes = 0
            place += 4 + max(length, 2)

    def _refuse(self, cause: str) -> None:
        self._transport._shutdown_socket()
        raise OSError(cause)


class GuardedRequestHandler(RequestHandler):
    """Gives each new association our reader."""

    server: "GuardedServer"

    def _create_association(self) -> Association:
        association = super()._create_association()
        transport = cast(AssociationSocket, association.dul.socket)
        transport.recv = PduReader(transport, self.server.settings)  # type: ignore[assignment,method-assign]
        return association


class GuardedServer(ThreadedAssociationServer):
    """Accepts connections within limits. `settings` must be set by `with_settings`."""

    settings: ServiceSettings
    daemon_threads = True
    request_queue_size = 64

    @classmethod
    def with_settings(cls, settings: ServiceSettings) -> type["GuardedServer"]:
        """A server class that knows the limits (pynetdicom constructs the server itself)."""
        return type(cls.__name__, (cls,), {"settings": settings})

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - pynetdicom's own signature
        options["request_handler"] = GuardedRequestHandler
        super().__init__(*arguments, **options)
        tls = self.ssl_context
        self._handshakes = None if tls is None else Handshakes(tls, _patience_s(self.settings))

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept. A new socket has no time limit of its own and would be waited for without end."""
        connection, address = cast(socket.socket, self.socket).accept()  # pynetdicom would shake hands here
        connection.settimeout(self.settings.pdu_deadline_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def verify_request(self, request: object, client_address: tuple[str, int]) -> bool:
        """Refuse a connection over the limit, before it costs a thread."""
        open_addresses = [str(each.requestor.address) for each in self.active_associations]
        if self._handshakes is not None:
            open_addresses += self._handshakes.open_addresses()
        from_same = open_addresses.count(client_address[0])
        return (
            len(open_addresses) < 2 * self.settings.max_associations
            and from_same < self.settings.max_associations_per_address
        )

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's
        """Start a thread for a connection; one whose handshake is to come is counted from now on."""
        if self._handshakes is not None:
            self._handshakes.begin(client_address[0])
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - pynetdicom's
        """In that thread: shake hands where the port is for TLS, then serve the association."""
        connection = request
        if self._handshakes is not None:
            connection = self._handshakes.finish(request, client_address[0])
        if connection is None:
            self.shutdown_request(request)
        else:
            super().process_request_thread(connection, client_address)


def _patience_s(settings: ServiceSettings) -> float:
    tls = settings.dicom_tls
    return settings.pdu_deadline_s if tls is None else tls.handshake_s
