"""The door of the DICOM listener: from calling AE title, address and called AE title to rights, or a refusal.

AE titles and addresses are claims that can be forged; they keep out mistakes and strangers. A certificate is a proof.
"""

import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, cast

from pydicom.uid import UID
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from service.peer_settings import DEFAULT_RIGHTS, PeerSettings, Right
from service.peer_table import is_open
from service.settings import ServiceSettings
from worker.dicom_tls import fingerprint_of

# Reasons of an A-ASSOCIATE-RJ by the service user (PS3.8 9.3.4)
NO_REASON_GIVEN: Final = 0x01
CALLING_NOT_RECOGNISED: Final = 0x03
CALLED_NOT_RECOGNISED: Final = 0x07

_RIGHT_OF_CLASS: Final[dict[UID, Right]] = {StorageCommitmentPushModel: "commit"}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks for an association, as it says itself. AE titles are without padding."""

    calling: str
    called: str
    address: str
    encrypted: bool = False
    certificate: str | None = None
    """SHA-256 of the certificate shown, checked already against the authorities."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why somebody may not come in. `diagnostic` is that of PS3.8 9.3.4."""

    cause: str
    diagnostic: int


class Door:
    """The peer table at work. Without any peer it is open, which the settings allow on loopback only."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings

    def admit(self, caller: Caller) -> frozenset[Right] | Refusal:
        """What the caller may do besides C-ECHO, or why it may not connect."""
        if is_open(self._settings):
            return frozenset(DEFAULT_RIGHTS)
        fitting = list(self._settings.peers)
        refusal = None
        for cause, diagnostic, fits in self._questions(caller):
            fitting = [peer for peer in fitting if fits(peer)]
            if not fitting:
                refusal = Refusal(cause=cause, diagnostic=diagnostic)
                break
        if refusal is None:
            return frozenset(fitting[0].rights)
        answer = self._by_title_alone(caller)
        return refusal if answer is None else answer

    def _questions(self, caller: Caller) -> Iterator[tuple[str, int, Callable[[PeerSettings], bool]]]:
        """What is asked of the entries one after the other: what it means, and says, if none is left."""
        own = (self._settings.ae_title,)
        yield ("calling AE title is unknown", CALLING_NOT_RECOGNISED, lambda p: p.ae_title == caller.calling)
        yield ("address is not the peer's", CALLING_NOT_RECOGNISED, lambda p: _comes_from(caller.address, p))
        yield ("comes without TLS", NO_REASON_GIVEN, lambda p: caller.encrypted or not p.needs_tls)
        yield ("certificate is not the peer's", NO_REASON_GIVEN, lambda p: _shows(caller.certificate, p))
        yield (
            "called AE title is not ours",
            CALLED_NOT_RECOGNISED,
            lambda p: caller.called in (p.called or own),
        )

    def _by_title_alone(self, caller: Caller) -> frozenset[Right] | Refusal | None:
        """`allowed_senders`, and the watchdog."""
        own = self._settings.ae_title
        if caller.calling in self._settings.allowed_senders:
            if caller.called != own:
                return Refusal(cause="called AE title is not ours", diagnostic=CALLED_NOT_RECOGNISED)
            return frozenset(DEFAULT_RIGHTS)
        return frozenset() if self.is_watchdog(caller) else None

    def is_watchdog(self, caller: Caller) -> bool:
        """Whether it is our own watchdog, which calls us in our own name from our own address."""
        own, address = self._settings.ae_title, caller.address
        is_here = address == self._settings.dicom_host or plain_address(address).is_loopback
        return caller.calling == caller.called == own and is_here


def caller_of(event: Event) -> Caller:
    """Who asks for, or has, the association of an event."""
    request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
    transport = event.assoc.dul.socket
    connection = None if transport is None else transport.socket
    return Caller(
        calling=str(request.calling_ae_title).strip(),
        called=str(request.called_ae_title).strip(),
        address=str(event.assoc.requestor.address),
        encrypted=isinstance(connection, ssl.SSLSocket),
        certificate=fingerprint_of(connection),
    )


def allowed(contexts: Iterable[PresentationContext], rights: frozenset[Right]) -> list[PresentationContext]:
    """The presentation contexts that go with the rights; Verification goes with none."""
    return [each for each in contexts if _is_allowed(UID(str(each.abstract_syntax)), rights)]


def is_in_its_context(event: Event) -> bool:
    """Whether a request is about the SOP class that its presentation context was granted for (PS3.7 annex D.3.3.2).

    Rights are rights to contexts, and pynetdicom takes any request in any context: an instance in that of C-ECHO.
    """
    asked = getattr(event.request, "AffectedSOPClassUID", None)
    return asked is not None and UID(str(asked)) == UID(str(event.context.abstract_syntax))


def plain_address(address: str) -> IPv4Address | IPv6Address:
    """An address; an IPv4 one that came over an IPv6 socket is IPv4 again."""
    found = ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def _is_allowed(abstract_syntax: UID, rights: frozenset[Right]) -> bool:
    return abstract_syntax == Verification or _RIGHT_OF_CLASS.get(abstract_syntax, "store") in rights


def _comes_from(address: str, peer: PeerSettings) -> bool:
    found = plain_address(address)
    return any(found in network for network in peer.addresses)


def _shows(certificate: str | None, peer: PeerSettings) -> bool:
    return peer.certificate_sha256 is None or certificate == peer.certificate_sha256
