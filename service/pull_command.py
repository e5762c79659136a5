"""`penumbra pull`: series from an archive into the running system."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal
from service.actor import acting, command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.pulls import Pull, Pulls

LOOK_EVERY_S = 0.5


def pull(  # noqa: PLR0913, PLR0917 - typer's way to declare options
    node: Annotated[str, typer.Argument(help="AE title of the archive, a node of the settings.")],
    study: Annotated[str, typer.Option(help="Study Instance UID.")] = "",
    series: Annotated[str, typer.Option(help="Series Instance UID.")] = "",
    accession: Annotated[str, typer.Option(help="Accession number.")] = "",
    patient_id: Annotated[str, typer.Option(help="Patient ID.")] = "",
    modality: Annotated[str, typer.Option(help="CT, or RTSTRUCT, which is kept and not contoured.")] = "CT",
    method: Annotated[str | None, typer.Option(help="move or get; the node's own if left out.")] = None,
    *,
    only_list: Annotated[
        bool, typer.Option("--list", help="Say what the archive has; pull nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Follow it until all has come.")] = True,
) -> None:
    """Pull series from an archive; `penumbra serve` must run. Example: penumbra pull PACS --accession 4711."""
    from service.archive_query import SeriesQuery
    from service.database import open_database
    from service.pulls import ENDED, Pulls
    from service.settings import ServiceSettings

    if not any((study, series, accession, patient_id)):
        raise typer.BadParameter("name a study, a series, an accession number or a patient id")
    if method not in {None, "move", "get"}:
        raise typer.BadParameter("move or get", param_hint="--method")
    query = SeriesQuery(
        study_uid=study,
        series_uid=series,
        patient_id=patient_id,
        accession_number=accession,
        modality=modality,
    )
    settings = ServiceSettings()
    front = Pulls(settings, open_database(settings))
    with acting(command_line()):
        if only_list:
            _show_found(front, node, query)
            return
        made = front.ask(node, query, method)  # type: ignore[arg-type]
    while wait and not all(each.state in ENDED for each in made):
        time.sleep(LOOK_EVERY_S)
        made = [front.get(each.id) for each in made]
    _show(made)
    if wait and any(each.state != "done" for each in made):
        raise typer.Exit(1)


def _show_found(front: Pulls, node: str, query: object) -> None:
    rows = [
        [
            each.series_uid,
            each.modality,
            "?" if each.instances is None else str(each.instances),
            each.description,
        ]
        for each in front.find(node, query)  # type: ignore[arg-type]
    ]
    terminal.texts(["series", "modality", "instances", "description"], rows)


def _show(pulls: Sequence[Pull]) -> None:
    rows = []
    for each in pulls:
        of = "?" if each.announced is None else str(each.announced)
        said = "" if each.reason is None else f"{each.reason['message']} {each.reason['remedy']}"
        rows.append([each.id[:8], each.series_instance_uid, each.state, f"{each.received} of {of}", said])
    terminal.texts(["pull", "series", "state", "received", "said"], rows)
