"""Storage commitment on the wire: N-ACTION to a node, and what its N-EVENT-REPORT says (PS3.4 J.3)."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from service.instance_header import is_uid
from service.logs import place_of
from worker.delivery import ANSWER_S, CONNECT_S, DeliveryError, Node

REQUEST_COMMITMENT: Final = 1  # action type (PS3.4 J.3.2)
NOTED: Final = 0x0000
INVALID: Final = 0x0115  # invalid argument value (PS3.7 C.5.11)
FAILED: Final = 0x0110  # processing failure
MAX_REPORTED: Final = 10_000

# Failure Reason (PS3.3 C.14.1.1)
_REASONS: Final = {
    0x0110: "processing failure",
    0x0112: "it has no such instance",
    0x0213: "it is out of resources",
    0x0122: "it gives no commitment for this kind of object",
    0x0119: "it knows the instance as another kind of object",
    0x0131: "the transaction UID is used already",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a node is asked to answer for. `objects` are SOP class UID and SOP Instance UID of each."""

    node: Node
    calling_ae: str
    transaction_uid: str
    objects: tuple[tuple[str, str], ...]
    linger_s: float
    """How long to wait for an answer over the same association."""


@dataclass(frozen=True, kw_only=True)
class CommitmentReport:
    """What a node answers: the instances it answers for, and those it does not, each with a reason."""

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, str]


def ask(request: Request, *, on_report: Callable[[CommitmentReport], bool]) -> None:
    """Ask a node for storage commitment (PS3.4 J.3.2). Its answer comes here, or later to the listener.

    Raises:
        DeliveryError: the node cannot be reached, or does not take the request.
    """
    answered = threading.Event()

    def note_sent(event: Event) -> None:
        if isinstance(event.message, N_EVENT_REPORT_RSP):
            answered.set()

    handlers: list[EventHandlerType] = [
        (evt.EVT_N_EVENT_REPORT, on_event_report, [on_report]),
        (evt.EVT_DIMSE_SENT, note_sent),
    ]
    association = _associate(request, handlers)
    try:
        _request(association, request)
        answered.wait(request.linger_s)
    finally:
        if association.is_established:
            association.release()


def on_event_report(event: Event, on_report: Callable[[CommitmentReport], bool]) -> tuple[int, None]:
    """N-EVENT-REPORT: note what the node answers for (PS3.4 J.3.3)."""
    try:
        report = read_report(event.event_information)
        return (NOTED if on_report(report) else INVALID), None
    except ValueError:
        return INVALID, None
    except Exception as error:  # noqa: BLE001 - the request is the boundary; the association goes on
        log.error("commitment not noted", cause=type(error).__name__, where=place_of(error))
        return FAILED, None


def read_report(dataset: Dataset) -> CommitmentReport:
    """Read the information of a report.

    Raises:
        ValueError: it has no transaction UID, or more instances than anybody was asked for.
    """
    transaction_uid = str(dataset.get("TransactionUID") or "")
    done, failed = dataset.get("ReferencedSOPSequence") or (), dataset.get("FailedSOPSequence") or ()
    if not is_uid(transaction_uid) or len(done) + len(failed) > MAX_REPORTED:
        raise ValueError("no report of a transaction")
    return CommitmentReport(
        transaction_uid=transaction_uid,
        committed=frozenset(str(item.get("ReferencedSOPInstanceUID", "")) for item in done),
        failed={str(item.get("ReferencedSOPInstanceUID", "")): _reason(item) for item in failed},
    )


def _reason(item: Dataset) -> str:
    code = item.get("FailureReason")
    return "it gives no reason" if code is None else _REASONS.get(int(code), f"reason 0x{int(code):04X}")


def _associate(request: Request, handlers: list[EventHandlerType]) -> Association:
    entity = AE(ae_title=request.calling_ae)
    entity.connection_timeout = CONNECT_S
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = ANSWER_S
    entity.add_requested_context(StorageCommitmentPushModel)
    node = request.node
    association = entity.associate(
        node.host, node.port, ae_title=node.ae_title, tls_args=node.tls_arguments, evt_handlers=handlers
    )
    if association.is_established:
        return association
    if association.is_rejected:
        raise DeliveryError(f"{node} refused the association for storage commitment.")
    if association.is_aborted and association.acceptor.primitive is not None:
        raise DeliveryError(f"{node} does not offer storage commitment.")
    raise DeliveryError(node.unreachable())


def _request(association: Association, request: Request) -> None:
    wanted = Dataset()
    wanted.TransactionUID = request.transaction_uid
    wanted.ReferencedSOPSequence = [_item(*each) for each in request.objects]
    answer, _ = association.send_n_action(
        wanted, REQUEST_COMMITMENT, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    if "Status" not in answer:
        raise DeliveryError(f"{request.node} did not answer the request for storage commitment.")
    if int(answer.Status) != NOTED:
        raise DeliveryError(
            f"{request.node} refused the request for storage commitment (0x{int(answer.Status):04X})."
        )


def _item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item
