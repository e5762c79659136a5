"""The DICOM application entity: C-ECHO and C-STORE. Handlers decide statuses; the inbox does the work."""

import socketserver
import threading
from typing import Final, cast

import structlog
from pydicom import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, _config, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from service import actor, audit_process
from service.association_server import OWN_PDU_BYTES, GuardedServer
from service.commitment import Commitments
from service.commitment_request import on_event_report
from service.contacts import ContactBook
from service.database import open_database
from service.door import Door, Refusal, allowed, caller_of, is_in_its_context
from service.inbox import Announced, Inbox
from service.logs import place_of
from service.probes import WATCHDOG_ADDRESS
from service.settings import ServiceSettings
from service.signals import stop_on_signal
from service.store_status import STORED, UNEXPECTED, status_of
from service.tls_settings import DicomTlsSettings
from worker.errors import PenumbraError
from worker.transfer_syntaxes import LOSSLESS

# Images that are no CT are taken too, so that their job can say why it is not contoured.
IMAGE_CLASSES: Final = (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    ComputedRadiographyImageStorage,
    SecondaryCaptureImageStorage,
)
TRANSFER_SYNTAXES: Final = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]

REJECTED_PERMANENTLY, BY_SERVICE_USER = 0x01, 0x01  # PS3.8 9.3.4
NOT_SUPPORTED = 0x0122  # SOP class not supported (PS3.4 B.2.3)
NO_SUCH_CLASS = 0x0118  # PS3.7 C.5
COMMENT_CHARACTERS = 64
NAMED_CONTEXTS = 8

log = structlog.get_logger(__name__)


def on_c_store(event: Event, inbox: Inbox) -> Dataset | int:
    """C-STORE: 0x0000 only once the instance is on the disk and in the database (PS3.4 B.2.3)."""
    caller = caller_of(event)
    sender, called = caller.calling, caller.called
    request = cast(C_STORE, event.request)
    announced = Announced(str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID))
    peer = actor.node(sender, str(event.assoc.requestor.address))
    if not is_in_its_context(event):
        _note_a_trespass(event, inbox)
        return NOT_SUPPORTED
    try:
        with actor.acting(peer):
            data = event.encoded_dataset()
            inbox.receive(data, sender=sender, source="dicom", announced=announced, called=called)
    except PenumbraError as error:
        return _refusal(status_of(error), error, sender)
    except Exception as error:  # noqa: BLE001 - the request is the boundary; the association goes on
        log.error("instance not stored", cause=type(error).__name__, where=place_of(error))
        return UNEXPECTED
    return STORED


def on_n_event_report(event: Event, inbox: Inbox, commitments: Commitments) -> tuple[int, None]:
    """N-EVENT-REPORT: what a node says of storage commitment (PS3.4 J.3.3)."""
    if is_in_its_context(event):
        return on_event_report(event, commitments.note)
    _note_a_trespass(event, inbox)
    return NO_SUCH_CLASS, None


def on_c_echo(_event: Event) -> int:
    """C-ECHO: we are here (PS3.4 A.4)."""
    return STORED


def on_requested(event: Event, door: Door, inbox: Inbox, book: ContactBook | None) -> None:
    """Before anything is negotiated: refuse strangers, and offer a peer what it has a right to (PS3.8 9.3.4).

    Who asked, other than our own watchdog, is noted in the book.
    """
    association, acceptor = event.assoc, event.assoc.acceptor
    offered = acceptor.supported_contexts
    acceptor.supported_contexts = []  # pynetdicom swallows what is raised here; nothing is offered then
    caller = caller_of(event)
    answer = door.admit(caller)
    if book is not None and not door.is_watchdog(caller):
        book.note(caller, answer.cause if isinstance(answer, Refusal) else None)
    if not isinstance(answer, Refusal):
        acceptor.supported_contexts = allowed(offered, answer)
        return
    log.warning(
        "association refused",
        sender=caller.calling,
        address=caller.address,
        called=caller.called,
        cause=answer.cause,
    )
    association.acse.send_reject(REJECTED_PERMANENTLY, BY_SERVICE_USER, answer.diagnostic)
    association.kill()
    inbox.refusals.note(actor.node(caller.calling, caller.address), answer.cause, called=caller.called)


def on_accepted(event: Event) -> None:
    """Say who connected, and which kinds of object are refused (some senders offer all there are)."""
    sender, address = str(event.assoc.requestor.ae_title).strip(), event.assoc.requestor.address
    if address == WATCHDOG_ADDRESS:
        return
    refused = sorted({UID(str(each.abstract_syntax)).name for each in event.assoc.rejected_contexts})
    log.info("association accepted", sender=sender, address=address, refused=refused[:NAMED_CONTEXTS])


def on_rejected(event: Event) -> None:
    """Say whose association there was no room for; strangers are refused before."""
    caller = caller_of(event)
    log.warning("association rejected, there are too many", sender=caller.calling, address=caller.address)


def make_server(
    settings: ServiceSettings,
    inbox: Inbox,
    *,
    tls: DicomTlsSettings | None = None,
    book: ContactBook | None = None,
) -> GuardedServer:
    """Bind the listener's socket, the one for TLS if `tls` is given. Serve with `serve_forever`.

    Whoever asks for an association is noted in `book`.
    """
    _config.ENFORCE_UID_CONFORMANCE = True
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    entity = AE(ae_title=settings.ae_title)
    entity.maximum_pdu_size = OWN_PDU_BYTES
    entity.maximum_associations = settings.max_associations
    entity.acse_timeout, entity.dimse_timeout, entity.network_timeout = 5, 30, 60
    entity.add_supported_context(Verification, TRANSFER_SYNTAXES)
    entity.add_supported_context(RTStructureSetStorage, TRANSFER_SYNTAXES)
    # The node that reports has the role of SCP, and asks for it or takes it for granted (PS3.4 J.3.3).
    entity.add_supported_context(StorageCommitmentPushModel, TRANSFER_SYNTAXES, scu_role=True, scp_role=True)
    for image_class in IMAGE_CLASSES:
        entity.add_supported_context(image_class, image_syntaxes(settings))
    commitments = Commitments(settings, inbox.database)
    server = entity.make_server(
        (settings.dicom_host, settings.dicom_port) if tls is None else (tls.host, tls.port),
        ssl_context=None if tls is None else tls.context(),
        evt_handlers=[
            (evt.EVT_C_STORE, on_c_store, [inbox]),
            (evt.EVT_C_ECHO, on_c_echo),
            (evt.EVT_N_EVENT_REPORT, on_n_event_report, [inbox, commitments]),
            (evt.EVT_REQUESTED, on_requested, [Door(settings), inbox, book]),
            (evt.EVT_ACCEPTED, on_accepted),
            (evt.EVT_REJECTED, on_rejected),
        ],
        server_class=GuardedServer.with_settings(settings),
    )
    return cast(GuardedServer, server)


def image_syntaxes(settings: ServiceSettings) -> list[UID]:
    """Transfer syntaxes offered for images. The first that the sender has too is taken (PS3.8 9.3.3.2).

    So a sender that can send plainly does. Compressed without loss is offered only where it is switched on;
    deflated, big endian and compressed with loss never are.
    """
    return [*TRANSFER_SYNTAXES, *(LOSSLESS if settings.accept_compressed else ())]


def run_listener(settings: ServiceSettings) -> None:
    """Listen until the process is told to end."""
    stop = threading.Event()
    stop_on_signal(stop)
    database = open_database(settings)
    inbox, book = Inbox(settings, database), ContactBook(database)
    inbox.make_folders()
    servers = [make_server(settings, inbox, book=book)]
    if settings.dicom_tls is not None:
        servers.append(make_server(settings, inbox, tls=settings.dicom_tls, book=book))
    threading.Thread(target=book.run, args=(stop,), name="contacts", daemon=True).start()
    for server in servers:
        threading.Thread(target=_serve, args=(server, stop), name="accept", daemon=True).start()
        log.info("listening", port=server.server_address[1])
    with audit_process.noted(database, "listener"):
        stop.wait()
    for server in servers:
        socketserver.BaseServer.shutdown(server)
        server.server_close()


def _serve(server: GuardedServer, stop: threading.Event) -> None:
    try:
        server.serve_forever()
    finally:
        stop.set()  # one port alone is of no use: end, and be started again


def _note_a_trespass(event: Event, inbox: Inbox) -> None:
    """Somebody asked, in a context that it has a right to, for what it has none to."""
    caller, cause = caller_of(event), "request outside its context"
    log.warning("request refused", sender=caller.calling, address=caller.address, cause=cause)
    inbox.refusals.note(actor.node(caller.calling, caller.address), cause, called=caller.called)


def _refusal(status: int, error: PenumbraError, sender: str) -> Dataset:
    log.warning("instance refused", sender=sender, status=f"0x{status:04X}", code=error.code)
    answer = Dataset()
    answer.Status = status
    answer.ErrorComment = error.message[:COMMENT_CHARACTERS]  # PS3.7 C.4: LO
    return answer
