"""The peer table over REST: who may connect, who has, and C-ECHO to the nodes."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as PathParameter
from pydantic import BaseModel

from service import audit
from service.api.parts import PartsDep
from service.audit import Action
from service.contacts import Contact, contacts
from service.deliveries import UnknownNode
from service.echo import echo
from service.peer_table import PeerRow, is_open, peer_rows, target_of
from service.problems import Problem
from service.schemas import API_PATH

router = APIRouter(prefix=f"{API_PATH}/peers", tags=["peers"])

AETitle = Annotated[str, PathParameter(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")]


class ContactView(BaseModel):
    """The last association asked for under an AE title; `refused` says why it was refused, or is null."""

    ae_title: str
    address: str
    called: str
    at: datetime
    refused: str | None

    @classmethod
    def of(cls, contact: Contact) -> "ContactView":
        """That contact."""
        return cls.model_validate(contact, from_attributes=True)


class PeerView(BaseModel):
    """An entry of the peer table, or a node that may not connect. `rights` is empty then."""

    ae_title: str
    addresses: list[str]
    called: list[str]
    rights: list[str]
    node: str | None
    delivers_to: list[str]
    last_contact: ContactView | None

    @classmethod
    def of(cls, row: PeerRow, known: list[Contact]) -> "PeerView":
        """That row, and when it was last heard of."""
        last = next((each for each in known if each.ae_title == row.ae_title), None)
        values = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        return cls(**values, last_contact=None if last is None else ContactView.of(last))


class PeerList(BaseModel):
    """The peer table. `open` means that anybody may connect; `strangers` are AE titles not in the table."""

    open: bool
    peers: list[PeerView]
    strangers: list[ContactView]


class EchoView(BaseModel):
    """How a C-ECHO to a node went, in words."""

    ae_title: str
    ok: bool
    words: str
    seconds: float


@router.get("")
def list_peers(parts: PartsDep) -> PeerList:
    """Who may connect, whom Penumbra connects to, and who has connected or tried to."""
    rows, heard = peer_rows(parts.settings), contacts(parts.database)
    titles = {row.ae_title for row in rows}
    return PeerList(
        open=is_open(parts.settings),
        peers=[PeerView.of(row, heard) for row in rows],
        strangers=[ContactView.of(each) for each in heard if each.ae_title not in titles],
    )


@router.post("/{ae_title}/echo")
def echo_node(ae_title: AETitle, parts: PartsDep) -> EchoView:
    """Ask a node by C-ECHO whether it is there and knows us."""
    target = target_of(ae_title, parts.settings)
    if target is None:
        raise Problem(
            404, UnknownNode.code, detail=UnknownNode.default_message, remedy=UnknownNode.default_remedy
        )
    answer = echo(target, calling_ae=parts.settings.ae_title)
    with parts.database.write() as session:
        outcome: audit.Outcome = "success" if answer.ok else "failure"
        audit.record(session, Action.ECHOED, outcome=outcome, subject=ae_title)
    return EchoView(ae_title=ae_title, ok=answer.ok, words=answer.words, seconds=answer.seconds)
