"""Files to a DICOM node by C-STORE, with refusals in words (PS3.4 B.2.3, PS3.7 annex C)."""

import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from worker.dicom_tls import ClientTls
from worker.errors import Failed
from worker.ledger import Sent

SUCCESS: Final = 0x0000
CONNECT_S: Final = 10
ANSWER_S: Final = 60
_WARNINGS: Final = {
    0xB000: "it changed values to fit its own rules",
    0xB006: "it left elements out",
    0xB007: "the data set does not match its SOP class in its eyes",
}
_STATUSES: Final = {
    0x0110: "processing failure",
    0x0111: "it already has an instance with this UID",
    0x0117: "the instance UID is not valid in its eyes",
    0x0122: "it does not store this kind of object (SOP class not supported)",
    0x0124: "it does not authorise us to store",
    0x0210: "duplicate invocation",
    0x0212: "mistyped argument",
}
_RANGES: Final = {
    0xA7: "it is out of resources (disk or memory)",
    0xA9: "the data set does not match its SOP class",
}


@dataclass(frozen=True, kw_only=True)
class Node:
    """A DICOM peer. AE titles are case-sensitive."""

    ae_title: str
    host: str
    port: int
    tls: ClientTls | None = None

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.ae_title} at {self.host}:{self.port}"

    @property
    def tls_arguments(self) -> tuple[ssl.SSLContext, str] | None:
        """What pynetdicom wants to know for TLS."""
        return None if self.tls is None else self.tls.arguments()

    def unreachable(self) -> str:
        """What to say when no connection came to be; asks once more why, where it is about TLS."""
        fault = None if self.tls is None else self.tls.fault(self.host, self.port)
        return f"{self} could not be reached{'' if fault is None else ', ' + fault}."


class DeliveryError(Failed):
    """A node could not be reached, or refused what was sent."""

    code = "delivery"
    default_remedy = "Check the node's address, AE title and free space, then deliver again."

    def __init__(self, message: str, *, remedy: str | None = None, status: int | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class ObjectRefused(DeliveryError):
    """A node that answers does not take an object."""


def send(files: Sequence[Path], node: Node, *, calling_ae: str) -> list[Sent]:
    """Store files on a node over one association, RTSTRUCTs first.

    Where RTSTRUCTs are among them, they are what matters: a refusal of another object is a remark then.

    Args:
        files: DICOM files in Implicit or Explicit VR Little Endian, or in RLE Lossless, which is undone for a node
            that does not take it.
        node: where to.
        calling_ae: our AE title.

    Returns:
        One entry per file, in the order of sending.

    Raises:
        DeliveryError: the node cannot be reached, refuses the association or an RTSTRUCT, or does not answer.
    """
    datasets = sorted((_read(file) for file in files), key=_is_extra)
    may_refuse = any(not _is_extra(each) for each in datasets)
    association = _associate(node, calling_ae, datasets)
    try:
        return [
            _offer(association, each, node, may_refuse=may_refuse and _is_extra(each)) for each in datasets
        ]
    finally:
        if association.is_established:
            association.release()


def _is_extra(dataset: Dataset) -> bool:
    return UID(dataset.SOPClassUID) != RTStructureSetStorage


def _offer(association: Association, dataset: Dataset, node: Node, *, may_refuse: bool) -> Sent:
    """Store one instance; a refusal that may be is noted instead of raised."""
    try:
        return _store(association, dataset, node)
    except ObjectRefused as refusal:
        if not may_refuse:
            raise
        uid, kind = str(dataset.SOPInstanceUID), str(dataset.SOPClassUID)
        return Sent(
            sop_instance_uid=uid,
            sop_class_uid=kind,
            status=refusal.status,
            remark=refusal.message,
            stored=False,
        )


def _read(file: Path) -> Dataset:
    try:
        return dcmread(file)
    except (OSError, InvalidDicomError) as error:
        raise DeliveryError("The file to be sent is missing or is not DICOM.") from error


def _associate(node: Node, calling_ae: str, datasets: Sequence[Dataset]) -> Association:
    ae = AE(ae_title=calling_ae)
    ae.connection_timeout = CONNECT_S
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ANSWER_S
    # One context per encoding: a node that is offered both in one may choose Explicit VR, which cannot hold
    # the longest contours.
    offered = {
        (UID(d.SOPClassUID), syntax)
        for d in datasets
        for syntax in (d.file_meta.TransferSyntaxUID, ImplicitVRLittleEndian, ExplicitVRLittleEndian)
    }
    contexts = [build_context(*each) for each in sorted(offered)]
    association = ae.associate(
        node.host,
        node.port,
        contexts=contexts,
        ae_title=node.ae_title,
        tls_args=node.tls_arguments,
        evt_handlers=[(evt.EVT_CONN_OPEN, _without_delay)],
    )
    if association.is_established:
        return association
    if association.is_rejected:
        raise DeliveryError(
            f"{node} refused the association: {_rejection(association)}.",
            remedy=f"Let the node know the AE title {calling_ae}, and check its own, capitals included.",
        )
    kinds = ", ".join(sorted({UID(d.SOPClassUID).name for d in datasets}))
    if association.is_aborted and association.acceptor.primitive is not None:
        raise DeliveryError(
            f"{node} accepts none of what was offered: {kinds}.",
            remedy="Enable this kind of object at the node.",
        )
    raise DeliveryError(node.unreachable())


def _rejection(association: Association) -> str:
    answer = association.acceptor.primitive
    return str(answer.reason_str) if answer is not None else "no reason given"


def _without_delay(event: Event) -> None:
    """Nagle's algorithm and delayed acknowledgements would add 40 ms to each instance."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _store(association: Association, dataset: Dataset, node: Node) -> Sent:
    uid = str(dataset.SOPInstanceUID)
    if not association.is_established:
        raise DeliveryError(f"{node} closed the association before instance {uid} was sent.")
    try:
        answer = association.send_c_store(_acceptable(association, dataset))
    except ValueError as error:
        raise ObjectRefused(
            f"{node} does not take {UID(dataset.SOPClassUID).name} (instance {uid}).",
            remedy="Enable this kind of object at the node.",
        ) from error
    if "Status" not in answer:
        raise DeliveryError(f"{node} did not answer within {ANSWER_S} s for instance {uid}.")
    status = int(answer.Status)
    if status != SUCCESS and status not in _WARNINGS:
        comment = _comment(answer, dataset)
        raise ObjectRefused(
            f"{node} refused instance {uid}: {describe(status)} (0x{status:04X}).{comment}", status=status
        )
    remark = f"{node} stored instance {uid}, but {_WARNINGS[status]}." if status in _WARNINGS else ""
    return Sent(sop_instance_uid=uid, sop_class_uid=str(dataset.SOPClassUID), status=status, remark=remark)


def _acceptable(association: Association, dataset: Dataset) -> Dataset:
    """The data set as the node takes it: compressed as it is, or else decompressed."""
    syntax = dataset.file_meta.TransferSyntaxUID
    taken = {
        each.transfer_syntax[0]
        for each in association.accepted_contexts
        if each.abstract_syntax == dataset.SOPClassUID
    }
    if syntax.is_compressed and syntax not in taken and taken:
        dataset.decompress()
    return dataset


def _comment(answer: Dataset, dataset: Dataset) -> str:
    """What the node adds to its refusal, unless it names the patient."""
    text = str(answer.get("ErrorComment") or "").strip()
    private = re.split(
        r"[\^=\s]+", f"{dataset.get('PatientName', '')} {dataset.get('PatientID', '')}".casefold()
    )
    named = any(len(word) > 1 and word in text.casefold() for word in private)
    return f" It says: {text}" if text and not named else ""


def describe(status: int) -> str:
    """A C-STORE status in words (PS3.4 B.2.3)."""
    if status == SUCCESS:
        return "stored"
    known = _WARNINGS.get(status) or _STATUSES.get(status) or _RANGES.get(status >> 8)
    if known is None and status >> 12 == 0xC:
        known = "it cannot understand the instance"
    return known or "unknown status"
