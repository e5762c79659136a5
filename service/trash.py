"""Files on their way out: moved aside inside the transaction that forgets them, deleted after its commit.

A crash or a failed commit in between loses nothing: what the database still knows is moved back.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from service.database import Database
from service.records import InstanceRecord, JobRecord
from service.settings import ServiceSettings
from worker.job_folder import INSTANCES_NAME as INPUT
from worker.job_folder import PUBLISHED_NAME as RESULT


@dataclass
class Removal:
    """What one transaction takes out of the data folder."""

    root: Path
    aside: Path
    moved: list[tuple[Path, Path]] = field(default_factory=list)

    def take(self, path: Path) -> None:
        """Move a file or folder aside; one that is not there is fine."""
        target = self.aside / path.relative_to(self.root)
        if path.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.rename(target)
            self.moved.append((path, target))

    def put_back(self) -> None:
        """Undo all of it."""
        for path, target in reversed(self.moved):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.rename(path)


class Trash:
    """The folder `trash/` of the data folder; empty but for the moments between move and deletion."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._folder = settings.data_dir / "trash"

    @contextmanager
    def removal(self) -> Iterator[Removal]:
        """Wrap it around the transaction: an exception puts everything back, its end deletes."""
        removal = Removal(self._settings.data_dir, self._folder / uuid.uuid4().hex)
        try:
            yield removal
        except BaseException:
            removal.put_back()
            raise
        shutil.rmtree(removal.aside, ignore_errors=True)

    def recover(self, database: Database) -> None:
        """Clear what a process left that died: back to its place if the database knows it, else away."""
        if not self._folder.is_dir():
            return
        for aside in list(self._folder.iterdir()):
            with database.write():  # nobody else receives, publishes or deletes meanwhile
                self._put_back_what_is_known(aside, database)
            shutil.rmtree(aside, ignore_errors=True)

    def _put_back_what_is_known(self, aside: Path, database: Database) -> None:
        with database.read() as session:
            for file in aside.glob("inbox/*/*.dcm"):
                name = file.relative_to(aside / "inbox").as_posix()
                if session.scalar(select(InstanceRecord.sop_uid).where(InstanceRecord.path == name)):
                    _restore(file, self._settings.inbox_dir / name)
            for part in aside.glob("jobs/*/*"):
                if _is_wanted(session, part):
                    _restore(part, self._settings.jobs_dir / part.parent.name / part.name)


def _is_wanted(session: Session, part: Path) -> bool:
    """Whether the database still counts on this part of a job's folder: `result`, `instances`, `request.json`."""
    job = session.get(JobRecord, part.parent.name)
    if job is None:
        return False
    has_input = session.scalar(select(exists().where(InstanceRecord.series_uid == job.series_uid)))
    wanted = {RESULT: job.has_result, INPUT: bool(has_input)}
    return wanted.get(part.name, any(wanted.values()))


def _restore(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        source.rename(target)
