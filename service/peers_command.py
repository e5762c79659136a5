"""`penumbra peers`: who may connect, whom we connect to, and does it work."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from service import terminal

if TYPE_CHECKING:
    from service.peer_table import PeerRow
    from service.settings import NodeSettings, ServiceSettings

peers = typer.Typer(
    help="DICOM peers: who may connect, whom we connect to, and whether it works.", no_args_is_help=True
)


@peers.command("list")
def list_peers(*, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show the peer table as the settings have it. Example: penumbra peers list."""
    from service.peer_table import is_open, peer_rows
    from service.settings import ServiceSettings

    settings = ServiceSettings()
    rows = peer_rows(settings)
    if as_json:
        terminal.output.print_json(json.dumps([asdict(row) for row in rows]))
        return
    columns = ["AE title", "may connect from", "calls us", "may", "we connect to", "its results go to"]
    terminal.texts(columns, [_cells(row) for row in rows])
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
    from service.settings import ServiceSettings
    from worker.delivery import Node

    settings = ServiceSettings()
    answers = []
    for node in _chosen(settings, ae_titles or []):
        target = Node(ae_title=node.ae_title, host=node.host, port=node.port, tls=settings.client_tls(node))
        answer = ask(target, calling_ae=settings.ae_title)
        terminal.output.print(f"{answer.words} ({1000 * answer.seconds:.0f} ms)", markup=False)
        answers.append(answer)
    if not all(answer.ok for answer in answers):
        raise typer.Exit(1)


def _chosen(settings: ServiceSettings, ae_titles: list[str]) -> list[NodeSettings]:
    unknown = [title for title in ae_titles if settings.node(title) is None]
    if unknown:
        raise typer.BadParameter(f"the settings define no node {', '.join(unknown)}; capitals count")
    chosen = [node for node in settings.nodes if node.ae_title in ae_titles or not ae_titles]
    if not chosen:
        raise typer.BadParameter("the settings define no nodes")
    return chosen


def _cells(row: PeerRow) -> list[str]:
    lists = (row.addresses, row.called, row.rights, (row.node,) if row.node else (), row.delivers_to)
    return [escape(text) for text in (row.ae_title, *("\n".join(each) or "-" for each in lists))]
