"""The door of the DICOM listener: from calling AE title, address and called AE title to rights, or a refusal.

AE titles and addresses are claims that can be forged: this keeps out mistakes and strangers, not attackers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from service.peer_settings import DEFAULT_RIGHTS, PeerSettings, Right
from service.settings import ServiceSettings

# Reasons of an A-ASSOCIATE-RJ by the service user (PS3.8 9.3.4)
CALLING_NOT_RECOGNISED: Final = 0x03
CALLED_NOT_RECOGNISED: Final = 0x07

_RIGHT_OF_CLASS: Final[dict[UID, Right]] = {StorageCommitmentPushModel: "commit"}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks for an association, as it says itself. AE titles are without padding."""

    calling: str
    called: str
    address: str


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
        if not self._settings.peers and not self._settings.allowed_senders:
            return frozenset(DEFAULT_RIGHTS)
        known = [peer for peer in self._settings.peers if peer.ae_title == caller.calling]
        near = [peer for peer in known if _comes_from(caller.address, peer)]
        fitting = next((peer for peer in near if caller.called in self._titles(peer)), None)
        if fitting is not None:
            return frozenset(fitting.rights)
        answer = self._by_title_alone(caller)
        return _refusal(known=bool(known), near=bool(near)) if answer is None else answer

    def _by_title_alone(self, caller: Caller) -> frozenset[Right] | Refusal | None:
        """`allowed_senders`, and the watchdog, which calls us in our own name from our own address."""
        own = self._settings.ae_title
        if caller.calling in self._settings.allowed_senders:
            return frozenset(DEFAULT_RIGHTS) if caller.called == own else _refusal(known=True, near=True)
        is_watchdog = caller.calling == caller.called == own and self._is_here(caller.address)
        return frozenset() if is_watchdog else None

    def _titles(self, peer: PeerSettings) -> tuple[str, ...]:
        return peer.called or (self._settings.ae_title,)

    def _is_here(self, address: str) -> bool:
        return address == self._settings.dicom_host or plain_address(address).is_loopback


def allowed(contexts: Iterable[PresentationContext], rights: frozenset[Right]) -> list[PresentationContext]:
    """The presentation contexts that go with the rights; Verification goes with none."""
    return [each for each in contexts if _is_allowed(UID(str(each.abstract_syntax)), rights)]


def plain_address(address: str) -> IPv4Address | IPv6Address:
    """An address; an IPv4 one that came over an IPv6 socket is IPv4 again."""
    found = ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def _is_allowed(abstract_syntax: UID, rights: frozenset[Right]) -> bool:
    return abstract_syntax == Verification or _RIGHT_OF_CLASS.get(abstract_syntax, "store") in rights


def _comes_from(address: str, peer: PeerSettings) -> bool:
    found = plain_address(address)
    return any(found in network for network in peer.addresses)


def _refusal(*, known: bool, near: bool) -> Refusal:
    if near:
        return Refusal(cause="called AE title is not ours", diagnostic=CALLED_NOT_RECOGNISED)
    cause = "address is not the peer's" if known else "calling AE title is unknown"
    return Refusal(cause=cause, diagnostic=CALLING_NOT_RECOGNISED)
