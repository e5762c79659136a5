"""The job folder: the only thing that passes between service and worker besides the job's id.

    <data>/jobs/<job id>/request.json      what is asked
    <data>/jobs/<job id>/instances/*.dcm   the series, 000001.dcm onwards
    <data>/jobs/<job id>/attempt-<fence>/  scratch of one attempt
    <data>/jobs/<job id>/result/           the attempt that was published: result.json, rtstruct.dcm, review.json, ...

Nothing here is changed in place: a file is written beside its name, flushed and renamed, and `result/` is an
attempt's folder renamed after the ledger accepted it. A process killed at any moment leaves either the old
state or the new one.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from worker.object_files import RTSTRUCT_NAME as RTSTRUCT_NAME
from worker.object_files import ExtraKind, SentKind, files_of, objects_in, template_name
from worker.roi_template import Template

REQUEST_NAME = "request.json"
RESULT_NAME = "result.json"
PREVIEW_NAME = "preview.png"
REVIEW_NAME = "review.json"
SLICES_NAME = "slices.bin"
INSTANCES_NAME = "instances"
PUBLISHED_NAME = "result"

OutcomeState = Literal["done", "rejected", "failed", "cancelled"]
BoundsWanted = Literal["auto", "paper", "calibrated"]


class Destination(BaseModel):
    """A node that gets something else than the RTSTRUCT of the default template.

    Attributes:
        ae_title: the node.
        objects: what is sent to it.
        template: how its RTSTRUCT is written; None for the default one.
    """

    model_config = ConfigDict(frozen=True)

    ae_title: str
    objects: tuple[SentKind, ...] = ("rtstruct",)
    template: Template | None = None

    @property
    def rtstruct_name(self) -> str:
        """The file of the RTSTRUCT that it gets."""
        return RTSTRUCT_NAME if self.template is None else template_name(self.template.key)


class JobRequest(BaseModel):
    """What a client asked for, as the worker reads it from `request.json`.

    `also` are objects that are made whoever gets them; `destinations` the nodes that the default does not serve.
    `sender`, `deliver` and `deliver_to` are for a database that has lost the job (`service/recovery.py`).
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    series_instance_uid: str
    bundle: str | None = None
    passes: int = Field(default=50, ge=1)
    seed: int = Field(default=0, ge=0)
    bounds: BoundsWanted = "auto"
    also: tuple[ExtraKind, ...] = ()
    destinations: tuple[Destination, ...] = ()
    sender: str = ""
    deliver: bool = True
    deliver_to: tuple[str, ...] | None = None

    @property
    def extra_kinds(self) -> frozenset[str]:
        """What is to be made besides RTSTRUCTs."""
        sent = {kind for each in self.destinations for kind in each.objects}
        return frozenset(self.also) | (sent - {"rtstruct"})


class Outcome(NamedTuple):
    """How a run ended. `reason` has the keys code, message and remedy, and is None when done."""

    state: OutcomeState
    reason: dict[str, str] | None = None


def request_path(folder: Path) -> Path:
    """Where a job's request lies."""
    return folder / REQUEST_NAME


def instances_dir(folder: Path) -> Path:
    """Where a job's instances lie."""
    return folder / INSTANCES_NAME


def attempt_dir(folder: Path, fence: int) -> Path:
    """Scratch folder of the attempt that holds the given fence."""
    return folder / f"attempt-{fence}"


def published_dir(folder: Path) -> Path:
    """The folder that a published attempt is renamed to."""
    return folder / PUBLISHED_NAME


def read_request(folder: Path) -> JobRequest:
    """Read `request.json`."""
    return JobRequest.model_validate_json(request_path(folder).read_bytes())


def files_for(folder: Path, ae_title: str) -> tuple[Path, ...]:
    """The files of a published job that a node gets: what its request says, else the default RTSTRUCT."""
    request = read_request(folder)
    default = Destination(ae_title=ae_title)
    wanted = next((each for each in request.destinations if each.ae_title == ae_title), default)
    return files_of(wanted.objects, rtstruct=wanted.rtstruct_name, folder=published_dir(folder))


def write_job_folder(folder: Path, request: JobRequest, instances: Iterable[Path]) -> None:
    """Make a job's folder: instances first, `request.json` last.

    Instances are hard links, so a series costs no space twice; copies where the file system has no links.
    Writing again over a half-made folder is fine.
    """
    target = instances_dir(folder)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, instance in enumerate(instances, start=1):
        _link_or_copy(instance, target / f"{number:06d}.dcm")
    sync_folder(target)
    write_atomically(request_path(folder), request.model_dump_json(indent=2).encode())
    sync_folder(folder.parent)


def publish_attempt(folder: Path, fence: int, *, state: OutcomeState) -> Path | None:
    """Rename the attempt's folder to `result/` and return that, or None when the attempt left no result.json.

    Call it while holding the ledger's lock on the job. A result that is there already was renamed by an
    attempt whose ledger entry never came to be, so it gives way. Only a job that is done keeps its objects.
    """
    attempt, published = attempt_dir(folder, fence), published_dir(folder)
    if not (attempt / RESULT_NAME).is_file():
        return None
    if state != "done":
        shown = [attempt / name for name in (PREVIEW_NAME, REVIEW_NAME, SLICES_NAME)]
        for path in (*shown, *(each.path for each in objects_in(attempt))):
            path.unlink(missing_ok=True)
    sync_tree(attempt)
    if published.exists():
        shutil.rmtree(published)
    attempt.rename(published)
    sync_folder(folder)
    return published


def remove_attempts(folder: Path) -> None:
    """Delete the scratch folders of a job that has ended."""
    for attempt in folder.glob("attempt-*"):
        shutil.rmtree(attempt, ignore_errors=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside, flush to the disk, rename into place, flush the folder."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk (a rename is durable only then)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file below a folder, then the folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        elif path.is_dir():
            sync_folder(path)
    sync_folder(folder)


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        write_atomically(target, source.read_bytes())
