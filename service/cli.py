"""`penumbra`: every command is a thin door to an ordinary function.

Commands that compute import what they need themselves, so that `penumbra listener` never loads torch. Results go to
standard output, progress and reasons to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 rejected.
"""

from __future__ import annotations

import json
import sys
import uuid
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from service import job_commands, terminal, webhook_commands
from service.audit_command import app as audit
from service.pacs_commands import deliveries
from service.peers_command import peers
from service.pull_command import pull
from service.rules_command import rules
from service.token_command import app as token
from service.verdict_command import app as verdicts
from worker.errors import PenumbraError, Rejected

if TYPE_CHECKING:
    from service.settings import ServiceSettings

EXIT_FAILED, EXIT_USAGE, EXIT_REJECTED = 1, 2, 3

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables may show a patient
    rich_markup_mode=None,
)
app.add_typer(peers, name="peers")
app.add_typer(job_commands.jobs, name="jobs")
app.add_typer(webhook_commands.webhooks, name="webhooks")
app.add_typer(deliveries, name="deliveries")
app.add_typer(rules, name="rules")
app.command()(pull)
app.add_typer(token, name="token")
app.add_typer(audit, name="audit")
app.add_typer(verdicts, name="verdicts")


class Device(StrEnum):
    """Where networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Bounds(StrEnum):
    """How lower and upper bounds are made."""

    AUTO = "auto"
    PAPER = "paper"
    CALIBRATED = "calibrated"


@app.command()
def phantom(  # noqa: PLR0917 - typer's way to declare options
    out: Annotated[Path, typer.Argument(help="Folder for case-0000, case-0001, …")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same patients.")],
    count: Annotated[int, typer.Option(min=1)] = 1,
    matrix: Annotated[int, typer.Option(min=128, max=512, help="Pixels per row and column.")] = 512,
    scenario: Annotated[
        str, typer.Option(help="A harder kind: prosthesis, contrast, thick-slices, …")
    ] = "ordinary",
) -> None:
    """Draw phantom patients: `ct/*.dcm` and `truth.dcm` per case. Example: penumbra phantom cases --seed 1."""
    from service.physics.scenarios import scenario_called
    from worker.phantom_case import write_phantom_case

    kind = scenario_called(scenario)
    with terminal.progress_bar("drawing") as advance:
        for index in range(count):
            advance(f"drawing case {index + 1} of {count}", index, count)
            write_phantom_case(out, seed=seed, index=index, matrix=matrix, scenario=kind)
            advance(f"drawn {index + 1} of {count}", index + 1, count)


@app.command()
def segment(  # noqa: PLR0913, PLR0917 - typer's way to declare options
    ct_dir: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with one CT series.")],
    out_dir: Annotated[Path, typer.Argument(help="Folder for rtstruct.dcm, result.json, preview.png.")],
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    passes: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = Device.AUTO,
    bounds: Annotated[
        Bounds, typer.Option(help="auto: calibrated where the bundle has a record, else the paper's.")
    ] = Bounds.AUTO,
    also: Annotated[str, typer.Option(help="Further objects, by commas: seg, sr, pdf, nifti.")] = "",
    template: Annotated[
        Path | None, typer.Option(help="Write an RTSTRUCT by this template too; see `penumbra template`.")
    ] = None,
) -> None:
    """Contour one CT series without a server. Example: penumbra segment case-0000/ct out --also seg,pdf."""
    from service.further_objects import destinations_of, kinds_of
    from worker.job_folder import JobRequest
    from worker.object_files import objects_in
    from worker.run_job import run
    from worker.settings import WorkerSettings

    kinds, destinations = kinds_of(also), destinations_of(template)
    out_dir.mkdir(parents=True, exist_ok=True)
    request = JobRequest(
        job_id=str(uuid.uuid4()),
        series_instance_uid="",
        bundle=bundle,
        passes=passes,
        seed=seed,
        bounds=bounds.value,
        also=kinds,
        destinations=destinations,
    )
    settings = WorkerSettings().model_copy(update={"device": device.value})
    with terminal.job_progress("starting") as progress:
        outcome = run(request, ct_dir, out_dir, progress=progress, settings=settings)
    document = json.loads((out_dir / "result.json").read_text())
    if outcome.reason is not None:
        terminal.errors.print(
            f"{outcome.state}: {outcome.reason['message']} {outcome.reason['remedy']}", markup=False
        )
        _show_findings(document)
        raise typer.Exit(EXIT_REJECTED if outcome.state == "rejected" else EXIT_FAILED)
    _show_result(document)
    for path in (*(each.path for each in objects_in(out_dir)), out_dir / "preview.png"):
        terminal.output.print(str(path), markup=False)


def _show_result(document: dict) -> None:  # type: ignore[type-arg]
    """Print what a finished job found."""
    rows = []
    for s in document["structures"]:
        rows.append(
            [
                s["name"],
                f"{s['volume_cc']:.1f}",
                f"{s['lower_volume_cc']:.1f} to {s['upper_volume_cc']:.1f}",
                terminal.quality_of(s),
                terminal.band_of(s),
            ]
        )
    terminal.table(["structure", "cc", "bounds cc", "quality", "band mm"], rows)
    proof = document["round_trip"]
    terminal.output.print(
        f"round trip: {len(proof)} ROIs of the written file read back, least DSC {min(proof.values()):.4f}",
        markup=False,
    )
    _show_findings(document)
    if document["not_for_clinical_use"]:
        terminal.output.print(f"NOT FOR CLINICAL USE: bundle {document['bundle']['name']}", style="bold red")


def _show_findings(document: dict) -> None:  # type: ignore[type-arg]
    for finding in document["findings"]:
        terminal.output.print(f"{finding['code']}: {finding['message']}", markup=False)


@app.command()
def serve(
    data: Annotated[Path | None, typer.Option(help="Data folder; penumbra-data by default.")] = None,
    api_port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    dicom_port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    ae_title: Annotated[str | None, typer.Option(help="Our AE title.")] = None,
) -> None:
    """Run the whole system: broker, listener, API with page, workers. Example: penumbra serve --data /srv/penumbra."""
    from service.logs import configure_logging
    from service.serve import Serving
    from service.serve import serve as run_system

    configure_logging("serve")
    given = {"data_dir": data, "api_port": api_port, "dicom_port": dicom_port, "ae_title": ae_title}
    settings = _settings(**given)

    def ready(system: Serving) -> None:
        terminal.output.print(
            f"Penumbra is ready: page and REST http://{settings.api_host}:{system.api_port}/, "
            f"DICOM {system.ae_title}@{settings.dicom_host}:{system.dicom_port}",
            markup=False,
        )

    run_system(settings, on_ready=ready)


@app.command()
def api() -> None:
    """Run the REST API and the page alone (scaled-out systems)."""
    from service.app import run_api
    from service.logs import configure_logging

    configure_logging("api")
    run_api(_settings())


@app.command()
def listener() -> None:
    """Run the DICOM listener alone (scaled-out systems)."""
    from service.listener import run_listener
    from service.logs import configure_logging

    configure_logging("listener")
    run_listener(_settings())


@app.command()
def reconciler() -> None:
    """Run the reconciler and relay alone (scaled-out systems)."""
    from service.logs import configure_logging
    from service.reconciler import run_reconciler

    configure_logging("reconciler")
    run_reconciler(_settings())


class Queue(StrEnum):
    """What a worker works on."""

    GPU = "gpu"
    DELIVERY = "delivery"


@app.command()
def worker(queue: Queue = Queue.GPU) -> None:
    """Run one worker: contouring (gpu) or sending (delivery). One `gpu` worker per GPU."""
    from service.logs import configure_logging
    from service.worker_process import run_worker

    configure_logging("worker")
    run_worker(_settings(), queue.value)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for ct/, rtstruct.dcm, result.json, preview.png.")] = Path(
        "demo-out"
    ),
    seed: Annotated[int, typer.Option(min=0)] = 1,
    passes: Annotated[int, typer.Option(min=1)] = 50,
    matrix: Annotated[int, typer.Option(min=128, max=512, help="Pixels per row and column.")] = 512,
) -> None:
    """Send a phantom patient through the whole system, as a planning system would."""
    from service.demo import run_demo

    run_demo(out, seed=seed, passes=passes, matrix=matrix)


@app.command()
def bundles(*, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """List the installed bundles and what they were measured to do."""
    from models.bundle import read_manifest
    from worker.bundle_info import find_bundles
    from worker.settings import WorkerSettings

    manifests = {
        name: read_manifest(folder) for name, folder in find_bundles(WorkerSettings().bundles_dir).items()
    }
    if as_json:
        document = [{"sha256": digest, **m.model_dump(mode="json")} for m, digest in manifests.values()]
        terminal.output.print_json(json.dumps(document))
        return
    for manifest, digest in manifests.values():
        rows = [
            [
                m.structure,
                m.name,
                f"{m.mean:.3f}",
                "" if m.minimum is None else f"{m.minimum:.3f}",
                str(m.cases),
            ]
            for m in manifest.metrics
        ]
        title = f"{manifest.name} {manifest.version} · {manifest.intended_use} · {digest[:12]}"
        terminal.table(["structure", "figure", "mean", "least", "cases"], rows, title=title)


def _settings(**given: object) -> ServiceSettings:
    """Service settings; what the command line gives wins over environment and file."""
    from service.settings import ServiceSettings

    return ServiceSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def main() -> None:
    """Run the command line; what we can explain becomes a sentence and an exit code."""
    from service import operation, physics

    operation.add_commands(app)
    physics.add_commands(app)
    try:
        app()
    except PenumbraError as error:
        terminal.errors.print(str(error), markup=False)
        sys.exit(EXIT_REJECTED if isinstance(error, Rejected) else EXIT_FAILED)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            terminal.errors.print(
                f"setting {'.'.join(map(str, problem['loc']))}: {problem['msg']}", markup=False
            )
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
