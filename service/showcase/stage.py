"""A system without listener and workers, in this process: the API and its pages, and the hands to move jobs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from service.app import server_of
from service.database import Database, open_database
from service.inbox import Inbox
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.settings import NodeSettings, ServiceSettings
from worker.job_folder import attempt_dir
from worker.ledger import Claim, ProgressReport

NODES = ("PLANNING", "ARCHIVE")
STOP_S = 60.0


@dataclass
class Stage:
    """What a page shows, and how to change it."""

    settings: ServiceSettings
    database: Database = field(init=False)
    jobs: Jobs = field(init=False)
    ledger: SqlLedger = field(init=False)
    inbox: Inbox = field(init=False)

    def __post_init__(self) -> None:
        self.database = open_database(self.settings)
        self.jobs = Jobs(self.settings, self.database)
        self.ledger = SqlLedger(self.settings, self.database)
        self.inbox = Inbox(self.settings, self.database)

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"http://{self.settings.api_host}:{self.settings.api_port}"

    def receive(self, files: Iterable[Path], *, sender: str = "PLANNING") -> str:
        """Take a series in as if it had come by C-STORE; returns its UID."""
        received = [self.inbox.receive(path.read_bytes(), sender=sender, source="dicom") for path in files]
        return received[0].series_instance_uid

    def claim(self, job_id: str, worker: str = "showcase") -> Claim:
        """Take a queued job as a worker of that name does."""
        claim = self.ledger.claim(job_id, worker)
        assert claim is not None, "somebody else has the job"
        return claim

    def contour(self, job_id: str, *, told: Callable[[str, float], None]) -> None:
        """Run a job for good, here; `told` hears stage and percent."""
        from worker.run_job import run_job  # torch

        claim = self.claim(job_id)

        def progress(report: ProgressReport) -> None:
            self.ledger.renew(claim, report)
            told(report.structure or report.stage, report.percent)

        attempt = attempt_dir(claim.folder, claim.fence)
        attempt.mkdir()
        self.ledger.publish(claim, run_job(claim.folder, attempt, progress=progress))


@contextmanager
def staged(data: Path) -> Iterator[Stage]:
    """The API and its pages on a free port of this machine, on that data folder, until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings = ServiceSettings(
        data_dir=data,
        api_host="127.0.0.1",
        api_port=listening.getsockname()[1],
        min_free_bytes=0,
        nodes=tuple(
            NodeSettings.model_validate({"ae_title": name, "host": "127.0.0.1", "port": 104})
            for name in NODES
        ),
        deliver_to=NODES[1:],
    )
    server = server_of(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Stage(settings)
    finally:
        server.should_exit = True
        thread.join(STOP_S)
        listening.close()
