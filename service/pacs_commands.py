"""`penumbra deliveries`: what goes to which node, and sending it again by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal
from service.actor import acting, command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.deliveries import Deliveries, JobDelivery

deliveries = typer.Typer(help="Results on their way to DICOM nodes.", no_args_is_help=True)


@deliveries.command("list")
def list_deliveries(
    state: Annotated[
        str | None, typer.Option(help="Only these: waiting, sending, delivered, failed.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="Only those to this AE title.")] = None,
    job: Annotated[str | None, typer.Option(help="Only those of this job.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
) -> None:
    """List deliveries, newest first, with what nodes said. Example: penumbra deliveries list --state failed."""
    _show(_front().list(state=state, node=node, job_id=job, limit=limit))


@deliveries.command()
def resend(delivery: Annotated[str, typer.Argument(help="Its id, or how the id begins.")]) -> None:
    """Send a result once more, now. Example: penumbra deliveries resend 4f0c2a11."""
    front = _front()
    found = [each.delivery.id for each in front.list(limit=500) if each.delivery.id.startswith(delivery)]
    if len(found) > 1:
        raise typer.BadParameter(f"{len(found)} deliveries begin so", param_hint="DELIVERY")
    with acting(command_line()):
        _show([front.send_again(found[0] if found else delivery)])


@deliveries.command()
def send(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    node: Annotated[str, typer.Argument(help="AE title of a node that the settings define.")],
) -> None:
    """Send a job's result to a node, for the first time or again."""
    with acting(command_line()):
        _show([_front().send(job, node)])


def _front() -> Deliveries:
    from service.database import open_database
    from service.deliveries import Deliveries
    from service.settings import ServiceSettings

    settings = ServiceSettings()
    return Deliveries(settings, open_database(settings))


def _show(found: Sequence[JobDelivery]) -> None:
    rows = []
    for each in found:
        it = each.delivery
        target = it.node if it.target == it.node else f"{it.node} → {it.target}"
        said = " ".join([*it.remarks, it.last_error or "", it.commitment_note or ""]).strip()
        stored = f"{it.stored} {it.commitment or ''}".strip()
        rows.append([it.id[:8], each.job_id[:8], target, it.state, str(it.attempts), stored, said])
    terminal.texts(["delivery", "job", "node", "state", "attempts", "stored", "said"], rows)
