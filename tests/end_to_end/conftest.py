"""A running embedded system with a stub in place of the networks, as an operator would start it."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage
from pynetdicom import AE, evt

from service.database import Database
from service.faults.postgres import running_postgres
from service.faults.redis_server import RedisServer, running_redis
from service.jobs import Jobs
from service.probes import free_port
from service.settings import ServiceSettings

HERE = Path(__file__).parent
MARKER = "ZZPHIMARK"
PATIENCE_S = 300.0
PASSES = 25  # of 0.1 s each in the stub

SERVE = """
import sys
from service.logs import configure_logging
from service.serve import serve
from service.settings import ServiceSettings
configure_logging("serve")
serve(ServiceSettings())
"""


def eventually(question, *, within_s=PATIENCE_S, what="it"):
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {within_s} s")


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def children_of(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def new_uid():
    return f"1.2.826.0.1.3680043.10.999.{uuid.uuid4().int % 10**12}"


def make_series(series_uid, slices=4, **attributes):
    """Small CT slices as pydicom datasets."""
    return [_slice(series_uid, number, attributes) for number in range(1, slices + 1)]


def _slice(series_uid, number, attributes):
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{series_uid}.{number}"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series_uid, f"{series_uid}.0"
    dataset.Modality, dataset.InstanceNumber = "CT", number
    dataset.PatientName, dataset.PatientID = f"{MARKER}^Test", MARKER
    dataset.Rows = dataset.Columns = 16
    dataset.PixelData = np.full((16, 16), number, np.int16).tobytes()
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


@dataclass
class System:
    """`penumbra serve` in a process of its own."""

    data_dir: Path
    nodes: dict[str, int] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    redis: RedisServer | None = None
    """The broker, where it is not the embedded one."""

    @property
    def environment(self):
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "PENUMBRA_DATA_DIR": str(self.data_dir),
            "PENUMBRA_RUNNER": "stub_runner:run",
            "PENUMBRA_PASSES": str(PASSES),
            "PENUMBRA_API_PORT": "0",
            "PENUMBRA_DICOM_PORT": "0",
            "PENUMBRA_QUIET_PERIOD_S": "0.7",
            "PENUMBRA_LEASE_S": "6",
            "PENUMBRA_HEARTBEAT_S": "1.5",
            "PENUMBRA_SWEEP_S": "1",
            "PENUMBRA_RESEND_S": "4",
            "PENUMBRA_MIN_FREE_BYTES": "1000",
            "PENUMBRA_DELIVERY_PAUSES_S": "[1.0]",
            "PENUMBRA_DELIVERY_ATTEMPTS": "100",
            "PENUMBRA_NODES": json.dumps(
                [{"ae_title": name, "host": "127.0.0.1", "port": port} for name, port in self.nodes.items()]
            ),
            **self.options,
        }

    def start(self):
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE], env=self.environment, stdout=log, stderr=log
            )
        eventually(lambda: self.state().get("ready"), what="start")
        return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(60) == 0

    def state(self):
        assert self.process.poll() is None, (self.data_dir / "serve.log").read_text()
        try:
            return json.loads((self.data_dir / "serve.json").read_text())
        except FileNotFoundError:
            return {"children": {}}

    def pid(self, name):
        if name == "broker" and self.redis is not None:
            return self.redis.pid
        return self.state()["children"][name]

    def kill(self, name):
        """kill -9, and wait until the supervisor has started another one. A redis-server we start again ourselves."""
        if name == "broker" and self.redis is not None:
            self.redis.kill()
            self.redis.start()
            return
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.state()["children"].get(name, pid) != pid, what=f"another {name}")

    def kill_worker_child(self):
        (child,) = children_of(self.pid("worker"))
        os.kill(child, signal.SIGKILL)

    @property
    def jobs(self):
        url = self.options.get("PENUMBRA_DATABASE_URL")
        settings = ServiceSettings(data_dir=self.data_dir, database_url=url)
        return Jobs(settings, Database(settings.resolved_database_url))

    def job_of(self, series_uid):
        found = [job for job in self.jobs.list().jobs if job.series_instance_uid == series_uid]
        return found[0] if found else None

    def wait_for(self, series_uid, *states):
        def ask():
            job = self.job_of(series_uid)
            return job if job is not None and job.state in states else None

        return eventually(ask, what=f"state {'/'.join(states)} of {self.job_of(series_uid)}")

    def wait_until_mid_job(self, series_uid):
        def ask():
            job = self.job_of(series_uid)
            return job if job is not None and job.state == "running" and job.passes_done > 2 else None

        return eventually(ask, what="the middle of the job")

    def runs(self, job):
        return (self.data_dir / "jobs" / job.id / "runs.log").read_text().splitlines()

    def send(self, series_uid, slices=4, *, calling_ae="TPS", **attributes):
        """C-STORE a series; returns the statuses. Raises if no association could be had."""
        entity = AE(ae_title=calling_ae)
        series = make_series(series_uid, slices, **attributes)
        entity.add_requested_context(series[0].SOPClassUID, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", self.state()["dicom_port"], ae_title="PENUMBRA")
        if not association.is_established:
            raise ConnectionError("no association")
        try:
            return [association.send_c_store(dataset).get("Status") for dataset in series]
        finally:
            association.release()

    def submit(self, series_uid, **options):
        """Submit now. With other options than a quiet series gets, there may be two jobs: it may go quiet first."""
        return self.jobs.submit(series_uid, **options)

    def new_series(self, slices=4, **attributes):
        """Send a series that was never sent before, again where the listener is just starting; returns its UID."""
        series_uid = new_uid()

        def send():
            try:
                return self.send(series_uid, slices, **attributes)
            except ConnectionError:
                return None

        assert set(eventually(send, what="an association")) == {0x0000}
        return series_uid


class PlanningSystem:
    """A node that stores what it is sent; `received` has the datasets."""

    def __init__(self):
        self.received = []
        entity = AE(ae_title="TPS")
        entity.add_supported_context(RTStructureSetStorage, ExplicitVRLittleEndian)
        self._server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        self.port = self._server.server_address[1]

    def _store(self, event):
        self.received.append(event.dataset)
        return 0x0000

    def count(self, series_uid):
        """How many results of that series came."""
        return sum(dataset.StudyInstanceUID == f"{series_uid}.0" for dataset in self.received)

    def stop(self):
        self._server.shutdown()


@pytest.fixture(scope="session")
def planning_system():
    planning_system = PlanningSystem()
    yield planning_system
    planning_system.stop()


@pytest.fixture(scope="session")
def system(tmp_path_factory, planning_system):
    """One running system for all tests that leave it running. Its node TPS listens, PLANNER does not yet.

    With PENUMBRA_TEST_DATABASE=postgresql it stands on PostgreSQL and redis-server.
    """
    nodes = {"TPS": planning_system.port, "PLANNER": free_port("127.0.0.1")}
    system = System(tmp_path_factory.mktemp("system") / "data", nodes)
    with ExitStack() as stack:
        if os.environ.get("PENUMBRA_TEST_DATABASE") == "postgresql":
            postgres = stack.enter_context(running_postgres(fsync=False))
            system.redis = stack.enter_context(running_redis(system.data_dir / "redis"))
            urls = {"DATABASE": postgres.url(), "BROKER": system.redis.url}
            system.options = {f"PENUMBRA_{name}_URL": url for name, url in urls.items()}
            system.options["PENUMBRA_QUIET_PERIOD_S"] = "3"  # it is used on busy machines
        yield system.start()
        system.stop()


@pytest.fixture
def own_system(tmp_path):
    """Systems that a test may end as it likes; each call starts one on the test's data folder."""
    made = []

    def make():
        system = System(tmp_path / "data").start()
        made.append(system)
        return system

    yield make
    for system in made:
        system.stop()


@pytest.fixture
def store_scp(tmp_path):
    """DCMTK's storescp as a planning system: `with store_scp(port) as folder`."""

    @contextmanager
    def run(port, ae_title="TPS"):
        folder = tmp_path / "received"
        folder.mkdir()
        command = ["/usr/bin/storescp", "-aet", ae_title, "-od", str(folder), str(port)]
        process = subprocess.Popen(command, env={**os.environ, "TCP_NODELAY": "1"})
        try:
            yield folder
        finally:
            process.kill()
            process.wait()

    return run


@pytest.fixture
def written_series(tmp_path):
    """A series as files, for DCMTK: returns its UID and folder."""
    folder = tmp_path / "ct"
    folder.mkdir()
    series_uid = new_uid()
    for number, dataset in enumerate(make_series(series_uid)):
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        (folder / f"{number}.dcm").write_bytes(stream.getvalue())
    return series_uid, folder


@pytest.fixture(name="eventually")
def eventually_fixture():
    return eventually


@pytest.fixture(name="is_running")
def is_running_fixture():
    return is_running


@pytest.fixture(name="children_of")
def children_of_fixture():
    return children_of


@pytest.fixture(name="new_uid")
def new_uid_fixture():
    return new_uid
