"""`penumbra peers`: who may connect, whom we connect to, and does it work."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from service import terminal

if TYPE_CHECKING:
    from service.contacts import Contact
    from service.peer_table import PeerRow
    from service.settings import ServiceSettings

peers = typer.Typer(
    help="DICOM peers: who may connect, whom we connect to, and whether it works.", no_args_is_help=True
)


@peers.command("list")
def list_peers(*, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show the peer table, who has connected and who tried to. Example: penumbra peers list."""
    from service.peer_table import is_open, peer_rows
    from service.settings import ServiceSettings

    settings = ServiceSettings()
    rows = peer_rows(settings)
    if as_json:
        terminal.output.print_json(json.dumps([asdict(row) for row in rows]))
        return
    heard = _heard(settings)
    columns = ["AE title", "may connect from", "calls us", "may", "we connect to", "its results go to"]
    terminal.texts([*columns, "last connected"], [_cells(row, heard) for row in rows])
    titles = {row.ae_title for row in rows}
    _show_strangers([each for each in heard if each.ae_title not in titles])
    if is_open(settings):
        terminal.output.print(
            f"Anybody may connect to {settings.dicom_host}:{settings.dicom_port}: neither peers nor "
            "allowed_senders are set.",
            markup=False,
        )


@peers.command()
def echo(
    ae_titles: Annotated[list[str] | None, typer.Argument(help="AE titles of nodes; none means all.")] = None,
) -> None:
    """Ask nodes by C-ECHO whether they are there and know us. Example: penumbra peers echo TPS."""
    from service.echo import echo as ask
    from service.peer_table import target_of
    from service.settings import ServiceSettings

    settings = ServiceSettings()
    answers = []
    for title in _chosen(settings, ae_titles or []):
        target = target_of(title, settings)
        if target is None:
            raise typer.BadParameter(f"the settings define no node {title}; capitals count")
        answer = ask(target, calling_ae=settings.ae_title)
        terminal.output.print(f"{answer.words} ({1000 * answer.seconds:.0f} ms)", markup=False)
        answers.append(answer)
    if not all(answer.ok for answer in answers):
        raise typer.Exit(1)


def _chosen(settings: ServiceSettings, ae_titles: list[str]) -> list[str]:
    chosen = ae_titles or [node.ae_title for node in settings.nodes]
    if not chosen:
        raise typer.BadParameter("the settings define no nodes")
    return chosen


def _heard(settings: ServiceSettings) -> list[Contact]:
    """Who has connected; nobody where no system has run yet, without making its tables now."""
    from service.contacts import contacts
    from service.database import open_database

    if settings.database_url is None and not (settings.data_dir / "penumbra.sqlite").exists():
        return []
    return contacts(open_database(settings))


def _show_strangers(strangers: list[Contact]) -> None:
    for each in strangers:
        terminal.output.print(
            f"Not in the table: {each.ae_title} from {each.address} called us {each.called} at "
            f"{each.at:%Y-%m-%d %H:%M} UTC, {_outcome(each)}.",
            markup=False,
        )


def _outcome(contact: Contact) -> str:
    return "accepted" if contact.refused is None else f"refused: {contact.refused}"


def _last(title: str, heard: list[Contact]) -> str:
    last = next((each for each in heard if each.ae_title == title), None)
    return "never" if last is None else f"{last.at:%Y-%m-%d %H:%M} UTC\n{last.address}\n{_outcome(last)}"


def _cells(row: PeerRow, heard: list[Contact]) -> list[str]:
    lists = (row.addresses, row.called, row.rights, (row.node,) if row.node else (), row.delivers_to)
    texts = (row.ae_title, *("\n".join(each) or "-" for each in lists), _last(row.ae_title, heard))
    return [escape(text) for text in texts]
