import asyncio
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.database import open_database
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.roles import Role
from service.settings import ServiceSettings
from service.tokens import Tokens
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.grid import Grid
from worker.job_folder import Outcome, attempt_dir
from worker.ledger import ProgressReport

MARK = "ZZPHIMARK"  # stands for a patient's name; must never come back
PNG = bytes.fromhex("89504e470d0a1a0a")

SERVER = """
from service.app import run_api
from service.deadline import DeadlineProtocol
from service.settings import ServiceSettings
DeadlineProtocol.header_deadline_s = 2.0
DeadlineProtocol.body_window_s = 3.0
DeadlineProtocol.reader_deadline_s = 2.0
run_api(ServiceSettings())
"""


def make_series(folder: Path, seed: str = "a", slices: int = 3, **overrides: object) -> list[Path]:
    size = 16
    grid = Grid(
        size_xyz=(size, size, slices),
        spacing_mm=(1.0, 1.0, 3.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        frame_of_reference_uid="2.25.7",
    )
    hu = np.random.default_rng(len(seed)).integers(-900, 900, (slices, size, size)).astype(np.int16)
    patient = PatientIdentity(patient_id=MARK, name=f"{MARK}^JOHN")
    return write_ct_series(hu, grid, folder, patient=patient, uid_seed=seed, **overrides)


def zip_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables made once; making them for every test would take most of the time."""
    data = tmp_path_factory.mktemp("empty") / "data"
    open_database(ServiceSettings(data_dir=data)).dispose()
    return data


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path, database_url: str | None) -> ServiceSettings:
    shutil.copytree(empty_database, tmp_path / "data")
    return ServiceSettings(data_dir=tmp_path / "data", database_url=database_url, min_free_bytes=0)


@pytest.fixture(scope="session")
def make_files() -> Callable[..., list[Path]]:
    """Write a series into a folder."""
    return make_series


@dataclass
class Client:
    """The application in this process, asked one request at a time."""

    app: object
    headers: dict[str, str]

    def __call__(self, method: str, path: str, **request: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
                headers = self.headers | request.pop("headers", {})
                return await client.request(method, path, headers=headers, **request)

        return asyncio.run(ask())

    def upload(self, *files: bytes, **fields: object) -> httpx.Response:
        parts = [("file", (f"{MARK}.bin", data)) for data in files]
        return self("POST", "/api/v1/jobs", files=parts, data={k: str(v) for k, v in fields.items()})


@pytest.fixture
def ask(settings: ServiceSettings) -> Client:
    return Client(create_app(settings), {})


@pytest.fixture(scope="module")
def ask_shared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Client:
    """One application for tests that change nothing."""
    data = shutil.copytree(empty_database, tmp_path_factory.mktemp("shared") / "data")
    return Client(create_app(ServiceSettings(data_dir=data, min_free_bytes=0)), {})


@pytest.fixture
def series(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in make_series(tmp_path / "ct")]


@pytest.fixture
def series_zip(series: list[bytes]) -> bytes:
    return zip_of({f"{MARK}/{n}.dcm": data for n, data in enumerate(series)})


@pytest.fixture
def other_series(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in make_series(tmp_path / "other", seed="bb")]


@pytest.fixture
def write_series(tmp_path: Path) -> Callable[..., list[bytes]]:
    def write(**arguments: object) -> list[bytes]:
        return [path.read_bytes() for path in make_series(tmp_path / f"ct-{len(arguments)}", **arguments)]

    return write


@pytest.fixture
def pack() -> Callable[[dict[str, bytes]], bytes]:
    return zip_of


@dataclass
class StubWorker:
    """Takes a job through the ledger as a worker would, without a broker and without networks."""

    settings: ServiceSettings
    rtstruct_bytes: int = 100_000

    def __post_init__(self) -> None:
        self.database = open_database(self.settings)
        self.jobs = Jobs(self.settings, self.database)
        self.ledger = SqlLedger(self.settings, self.database)

    def run(
        self, job_id: str, outcome: Outcome | None = None, *, passes: int = 3, pause_s: float = 0.0
    ) -> None:
        outcome = outcome or Outcome("done")
        claim = self.ledger.claim(job_id, "stub")
        assert claim is not None
        for done in range(1, passes + 1):
            time.sleep(pause_s)
            progress = ProgressReport(
                stage="segmenting",
                structure="Bladder",
                passes_done=done,
                passes_total=passes,
                percent=90 * done / passes,
            )
            self.ledger.renew(claim, progress)
        attempt = attempt_dir(claim.folder, claim.fence)
        attempt.mkdir()
        (attempt / "result.json").write_text(json.dumps({"state": outcome.state}))
        if outcome.state == "done":
            (attempt / "rtstruct.dcm").write_bytes(bytes(128) + b"DICM" + os.urandom(self.rtstruct_bytes))
            (attempt / "preview.png").write_bytes(PNG)
        assert self.ledger.publish(claim, outcome)


@pytest.fixture
def worker(settings: ServiceSettings) -> StubWorker:
    return StubWorker(settings)


@pytest.fixture
def done(ask: Client, series_zip: bytes, worker: StubWorker, reviewed_files: dict[str, bytes]) -> str:
    """A job that is done and can be reviewed; its id."""
    job: str = ask.upload(series_zip).json()["id"]
    claim = worker.ledger.claim(job, "stub")
    attempt = attempt_dir(claim.folder, claim.fence)
    attempt.mkdir()
    for name, data in reviewed_files.items():
        (attempt / name).write_bytes(data)
    assert worker.ledger.publish(claim, Outcome("done"))
    return job


@pytest.fixture
def as_role(ask: Client) -> Callable[..., Client]:
    """The same application, asked by whoever has that role."""

    def make(role: Role, label: str = "") -> Client:
        _, text = Tokens(ask.app.state.parts.database).create(role, label=label)
        return replace(ask, headers={"Authorization": f"Bearer {text}"})

    return make


@dataclass
class Server:
    """A real server process on a loopback port."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def find_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    return find_free_port()


@pytest.fixture(scope="session")
def server_settings(tmp_path_factory: pytest.TempPathFactory) -> ServiceSettings:
    data = tmp_path_factory.mktemp("server") / "data"
    return ServiceSettings(data_dir=data, api_port=find_free_port(), min_free_bytes=0)


@pytest.fixture(scope="session")
def server(server_settings: ServiceSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    environment = os.environ | server_settings.environment()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    served = Server(process, server_settings.api_port, log)
    try:
        _wait_until_ready(served)
        yield served
    finally:
        process.terminate()
        process.wait(60)
    assert MARK not in log.read_text()


def _wait_until_ready(served: Server) -> None:
    for _ in range(600):
        assert served.process.poll() is None, served.log.read_text()
        try:
            if httpx.get(f"{served.url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(served.log.read_text())


@pytest.fixture(scope="session")
def server_worker(server_settings: ServiceSettings, server: Server) -> StubWorker:
    return StubWorker(server_settings)
