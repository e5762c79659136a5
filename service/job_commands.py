"""`penumbra jobs`: what REST can do with jobs, for whoever sits at Penumbra's host. Works on the database itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal
from service.actor import acting, command_line

if TYPE_CHECKING:
    from service.job import Job

jobs = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@jobs.callback()
def on_behalf(context: typer.Context) -> None:
    """List, show, cancel, retry and re-run jobs."""
    context.with_resource(acting(command_line()))


DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data folder of the system; as in the settings by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
JobArgument = Annotated[
    str, typer.Argument(help="The job's id; its first characters do if no other job has them.")
]


class State(StrEnum):
    """States of a job."""

    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOT_ROUTED = "not-routed"


@jobs.command("list")
def list_jobs(  # noqa: PLR0913, PLR0917 - typer's way to declare options
    state: Annotated[State | None, typer.Option(help="Only jobs in this state.")] = None,
    sender: Annotated[str | None, typer.Option(help="Only from this AE title.")] = None,
    series: Annotated[str | None, typer.Option(help="Only of this Series Instance UID.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Only with this bundle.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only made then (UTC) or later.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Jobs, newest first. Example: penumbra jobs list --state failed --since 2026-05-04."""
    front = _Front(data)
    page = front.jobs.list(
        limit=limit,
        states=[state.value] if state else None,
        sender=sender,
        series_uid=series,
        bundle=bundle,
        default_bundle=front.bundles.name(None),
        since=since.replace(tzinfo=UTC) if since else None,
    )
    if as_json:
        terminal.output.print_json(json.dumps([front.document(job) for job in page.jobs]))
        return
    columns = ["job", "state", "%", "priority", "sender", "slices", "made (UTC)"]
    terminal.table(columns, [_row(job) for job in page.jobs])


@jobs.command()
def show(job_id: JobArgument, data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """One job: state, options, reason, deliveries."""
    front = _Front(data)
    front.tell(front.jobs.get(front.id(job_id)), as_json=as_json)


@jobs.command()
def cancel(job_id: JobArgument, data: DataOption = None) -> None:
    """Stop a job; a running one ends within its next pass."""
    front = _Front(data)
    front.tell(front.jobs.cancel(front.id(job_id)))


@jobs.command()
def retry(job_id: JobArgument, data: DataOption = None) -> None:
    """Queue a job again that did not end well."""
    front = _Front(data)
    front.tell(front.jobs.retry(front.id(job_id)))


@jobs.command()
def rerun(  # noqa: PLR0913, PLR0917 - typer's way to declare options
    job_id: JobArgument,
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    passes: Annotated[int | None, typer.Option(min=1, max=1000)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 goes first.")] = None,
    data: DataOption = None,
    *,
    deliver: Annotated[bool, typer.Option("--deliver", help="Send the result to nodes too.")] = False,
) -> None:
    """Queue another job on the same series, to compare. Example: penumbra jobs rerun 3f2a --bundle clinic-2."""
    from service.job_wishes import JobWishes

    front = _Front(data)
    wishes = JobWishes(bundle=bundle, passes=passes, seed=seed, priority=priority, deliver=deliver)
    front.tell(front.jobs.rerun(front.id(job_id), **wishes))


@jobs.command()
def priority(
    job_id: JobArgument,
    value: Annotated[int, typer.Argument(min=0, max=9, help="0 goes first, 9 last; 3 is usual.")],
    data: DataOption = None,
) -> None:
    """Let a job that waits go earlier or later."""
    front = _Front(data)
    front.tell(front.jobs.set_priority(front.id(job_id), value))


class _Front:
    """The jobs of one system, and how they are shown."""

    def __init__(self, data: Path | None) -> None:
        from service.bundle_catalogue import BundleCatalogue
        from service.database import open_database
        from service.jobs import Jobs
        from service.settings import ServiceSettings

        settings = ServiceSettings() if data is None else ServiceSettings(data_dir=data)
        self.jobs = Jobs(settings, open_database(settings))
        self.bundles = BundleCatalogue(settings)

    def id(self, beginning: str) -> str:
        """The one id that begins so; what begins none or several is left as it is, and will not be found."""
        found = self.jobs.ids_that_begin(beginning)
        return found[0] if len(found) == 1 else beginning

    def document(self, job: Job) -> dict[str, object]:
        """The job as REST shows it, without what only HTTP needs."""
        from service.schemas import JobView

        bundle = self.bundles.name(job.bundle)
        view = JobView.of(job, bundle=bundle, notice=self.bundles.notice(bundle))
        return view.model_dump(mode="json", exclude={"links", "upload"})

    def tell(self, job: Job, *, as_json: bool = False) -> None:
        """Print one job."""
        document = self.document(job)
        if as_json:
            terminal.output.print_json(json.dumps(document))
            return
        for name, value in document.items():
            if value not in (None, [], ""):
                terminal.output.print(f"{name.replace('_', ' ')}: {_text(value)}", markup=False)


def _row(job: Job) -> list[str]:
    made = f"{job.created_at:%Y-%m-%d %H:%M:%S}"
    count = str(job.instance_count)
    return [job.id[:8], job.state, f"{job.percent:.0f}", str(job.priority), job.sender, count, made]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(str(each) for each in value.values())
    if isinstance(value, list):
        return "; ".join(_text(each) for each in value)
    return str(value)
