"""C-ECHO to a node, with what went wrong in words (PS3.4 annex A)."""

import time
from dataclasses import dataclass
from typing import Final

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from worker.delivery import Node

PATIENCE_S: Final = 10
ANSWERED: Final = 0x0000


@dataclass(frozen=True, kw_only=True)
class Echo:
    """How a C-ECHO went."""

    ok: bool
    words: str
    seconds: float


def echo(node: Node, *, calling_ae: str) -> Echo:
    """Ask a node by C-ECHO whether it is there and lets us in. Takes at most some `PATIENCE_S` per step."""
    began = time.monotonic()
    association = _associate(node, calling_ae)
    fault = _fault(association, node, calling_ae)
    if fault is None:
        answer = association.send_c_echo()
        association.release()
        if answer.get("Status") != ANSWERED:
            fault = f"{node} accepted the association, but did not answer the C-ECHO."
    seconds = time.monotonic() - began
    return Echo(ok=fault is None, words=fault or f"{node} answers.", seconds=seconds)


def _associate(node: Node, calling_ae: str) -> Association:
    entity = AE(ae_title=calling_ae)
    entity.connection_timeout = entity.acse_timeout = PATIENCE_S
    entity.dimse_timeout = entity.network_timeout = PATIENCE_S
    entity.add_requested_context(Verification)
    return entity.associate(node.host, node.port, ae_title=node.ae_title, tls_args=node.tls_arguments)


def _fault(association: Association, node: Node, calling_ae: str) -> str | None:
    if association.is_established:
        return None
    answer = association.acceptor.primitive
    if association.is_rejected:
        reason = "no reason given" if answer is None else answer.reason_str
        return (
            f"{node} refused the association: {reason}. Let it know the AE title {calling_ae}, and check its own, "
            "capitals included."
        )
    if answer is not None:
        return f"{node} offers no C-ECHO to us."
    return f"{node.unreachable()} Check address, port and firewall, and that it runs."
