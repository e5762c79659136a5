"""Peers and nodes as one table: who may connect to us, whom we connect to, by AE title."""

from dataclasses import dataclass

from service.peer_settings import DEFAULT_RIGHTS, PeerSettings
from service.settings import NodeSettings, ServiceSettings
from worker.delivery import Node

ANYWHERE = "anywhere"


@dataclass(frozen=True, kw_only=True)
class PeerRow:
    """One AE title, one entry of the peer table. What is empty is not so: no address, it may not connect."""

    ae_title: str
    addresses: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    node: str | None = None
    """Host and port where results and C-ECHOs go to."""

    delivers_to: tuple[str, ...] = ()
    """AE titles of nodes that get the results of what it sends."""


def peer_rows(settings: ServiceSettings) -> list[PeerRow]:
    """The whole table: peers, then AE titles that may connect from anywhere, then nodes that never connect."""
    rows = [_of_peer(peer, settings) for peer in settings.peers]
    rows += [_of_sender(title, settings) for title in settings.allowed_senders]
    known = {row.ae_title for row in rows}
    rows += [_of_node(node, settings) for node in settings.nodes if node.ae_title not in known]
    return rows


def is_open(settings: ServiceSettings) -> bool:
    """Whether anybody may connect, since nobody is named."""
    return not settings.peers and not settings.allowed_senders


def target_of(ae_title: str, settings: ServiceSettings) -> Node | None:
    """The node of that AE title as something to connect to; None where there is none."""
    node = settings.node(ae_title)
    return None if node is None else target(node, settings)


def target(node: NodeSettings, settings: ServiceSettings) -> Node:
    """A node as the networking code wants it, TLS included."""
    return Node(ae_title=node.ae_title, host=node.host, port=node.port, tls=settings.client_tls(node))


def _of_peer(peer: PeerSettings, settings: ServiceSettings) -> PeerRow:
    return PeerRow(
        ae_title=peer.ae_title,
        addresses=tuple(_short(str(network)) for network in peer.addresses),
        called=peer.called or (settings.ae_title,),
        rights=("echo", *peer.rights),
        node=_place(settings.node(peer.ae_title)),
        delivers_to=settings.destinations(peer.ae_title),
    )


def _of_sender(title: str, settings: ServiceSettings) -> PeerRow:
    return PeerRow(
        ae_title=title,
        addresses=(ANYWHERE,),
        called=(settings.ae_title,),
        rights=("echo", *DEFAULT_RIGHTS),
        node=_place(settings.node(title)),
        delivers_to=settings.destinations(title),
    )


def _of_node(node: NodeSettings, settings: ServiceSettings) -> PeerRow:
    anybody = is_open(settings)
    return PeerRow(
        ae_title=node.ae_title,
        addresses=(ANYWHERE,) if anybody else (),
        called=(settings.ae_title,) if anybody else (),
        rights=("echo", *DEFAULT_RIGHTS) if anybody else (),
        node=_place(node),
        delivers_to=settings.destinations(node.ae_title) if anybody else (),
    )


def _place(node: NodeSettings | None) -> str | None:
    return None if node is None else f"{node.host}:{node.port}"


def _short(network: str) -> str:
    return network.removesuffix("/32").removesuffix("/128")
