"""The scaled-out system as docker-compose.yml describes it, its commands run as plain processes.

PostgreSQL, a Redis server with a password, and each of our parts with the environment of its service there.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import httpx
import pytest
import redis
import yaml
from pydicom import dcmread
from sqlalchemy import event, insert, select

from service.broker import server_binary
from service.database import Database, open_database
from service.faults.clients import Sender
from service.faults.postgres import PostgresMissing, running_postgres
from service.faults.small_series import make_series
from service.jobs import Jobs
from service.peer_settings import PeerSettings
from service.probes import api_answers, free_port, listener_answers
from service.records import JobRecord, VerdictRecord
from service.settings import NodeSettings, ServiceSettings
from service.showcase.crowd import crowd, uid_of
from service.verdict_export import ROWS_AT_ONCE, write_csv
from worker.delivery import Node, send

HERE = Path(__file__).parent
COMPOSE = HERE.parents[1] / "docker-compose.yml"
PARTS = ("api", "listener", "reconciler", "worker", "delivery")
PASSWORD, TOKEN = "a1b2c3", "t0k3n"
PATIENCE_S = 300.0


@dataclass
class Processes:
    """Programs that end with the test."""

    folder: Path
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    def start(self, name: str, command: list[str | Path], environment: dict[str, str] | None = None) -> None:
        with (self.folder / f"{name}.txt").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/"
            )

    def stop(self, name: str) -> int:
        """Ask it to end, and say how it did; -9 if it would not."""
        process = self.running.pop(name)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        return process.wait()


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    processes = Processes(tmp_path_factory.mktemp("scaled-out"))
    yield processes
    for name in list(processes.running):
        processes.stop(name)


@pytest.fixture(scope="module")
def postgres():
    try:
        with running_postgres(fsync=False) as server:
            yield server
    except PostgresMissing as missing:
        pytest.skip(missing.message)


@pytest.fixture(scope="module")
def redis_url(processes, compose) -> str:
    """A server configured by the compose file's own script."""
    folder, port = processes.folder / "redis", free_port("127.0.0.1")
    folder.mkdir()
    (folder / "password").write_text(PASSWORD)
    (script,) = compose["services"]["redis"]["command"]
    script = script.replace("$$", "$").replace("/run/secrets/redis_password", str(folder / "password"))
    script = script.replace("redis-server", str(server_binary())).replace(
        "dir /data", f"dir {folder}\nport {port}"
    )
    processes.start("redis", ["sh", "-ec", script])
    return f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load(COMPOSE.read_text())


@pytest.fixture(scope="module")
def settings(processes, postgres, redis_url, planning_system) -> ServiceSettings:
    return ServiceSettings(
        data_dir=processes.folder / "data",
        database_url=postgres.url(),
        broker_url=redis_url,
        api_host="0.0.0.0",
        api_port=free_port("127.0.0.1"),
        api_token=TOKEN,
        dicom_host="0.0.0.0",
        dicom_port=free_port("127.0.0.1"),
        peers=(PeerSettings(ae_title="TPS", addresses=("127.0.0.1",)),),
        nodes=(NodeSettings(ae_title="TPS", host="127.0.0.1", port=planning_system.port),),
    )


@pytest.fixture(scope="module")
def parts(processes, settings, compose, eventually_session):
    """Every part started by its service's command, with the variables that its service is given."""
    token = processes.folder / "api_token"
    token.write_text(TOKEN)
    values = settings.environment() | {"PENUMBRA_API_TOKEN_FILE": str(token)}
    for name in PARTS:
        service = compose["services"][name]
        given = {variable: values[variable] for variable in service["environment"] if variable in values}
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PENUMBRA_")},
            **given,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "PENUMBRA_RUNNER": "stub_runner:run",
            "PENUMBRA_PASSES": "20",
            "PENUMBRA_QUIET_PERIOD_S": "1",
            "PENUMBRA_MIN_FREE_BYTES": "1000",
            "PENUMBRA_LEASE_S": "6",
            "PENUMBRA_HEARTBEAT_S": "1.5",
            "PENUMBRA_SWEEP_S": "1",
            "PENUMBRA_RESEND_S": "4",
            "PENUMBRA_DELIVERY_PAUSES_S": "[1.0]",
        }
        processes.start(name, [sys.executable, "-m", "service.cli", *service["command"]], environment)
    eventually_session(lambda: api_answers(settings) and listener_answers(settings))
    return processes


@pytest.fixture(scope="module")
def eventually_session():
    def wait(question):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if answer := question():
                return answer
            time.sleep(0.1)
        raise AssertionError(f"it did not happen within {PATIENCE_S} s")

    return wait


def test_a_series_comes_in_and_its_rtstruct_goes_back(
    parts, settings, written_series, planning_system, eventually_session
) -> None:
    series_uid, folder = written_series
    jobs = Jobs(settings, Database(settings.resolved_database_url))

    node = Node(ae_title="PENUMBRA", host="127.0.0.1", port=settings.dicom_port)
    send(sorted(folder.iterdir()), node, calling_ae="TPS")

    eventually_session(lambda: planning_system.count(series_uid))
    (job,) = jobs.list().jobs
    assert (job.state, job.attempts, job.series_instance_uid) == ("done", 1, series_uid)
    eventually_session(lambda: jobs.get(job.id).deliveries[0].state == "delivered")
    assert planning_system.count(series_uid) == 1


@pytest.mark.parametrize("ending", ["fast", "immediate"])
def test_a_database_that_restarts_and_a_broker_that_forgets_lose_and_double_nothing(
    parts, settings, postgres, redis_url, planning_system, eventually_session, ending
) -> None:
    jobs = Jobs(settings, Database(settings.resolved_database_url))
    sender, before, after = Sender("TPS"), make_series(4), make_series(4)
    assert sender.send(before, settings.dicom_port)
    eventually_session(lambda: states_of(jobs, before) == ["running"])

    postgres.stop(ending)
    redis.Redis.from_url(redis_url).flushall()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    asked = httpx.get(f"http://127.0.0.1:{settings.api_port}/api/v1/jobs", headers=headers, timeout=60)
    assert (asked.status_code, asked.json()["code"]) == (503, "unavailable")
    assert not sender.send(after, settings.dicom_port)
    assert sender.refused == {0xA700: 4}
    postgres.start()

    sender.send_until_taken(after, settings.dicom_port)
    for series in (before, after):
        eventually_session(lambda series=series: states_of(jobs, series) == ["done"])
        (job,) = whole_jobs(jobs, series)
        eventually_session(lambda job=job: jobs.get(job.id).deliveries[0].state == "delivered")
        study = series[0].StudyInstanceUID
        came = [each.SOPInstanceUID for each in planning_system.received if each.StudyInstanceUID == study]
        assert came.count(dcmread(job.result_dir / "rtstruct.dcm").SOPInstanceUID) == 1
        assert len(came) == len(set(came))


def whole_jobs(jobs, series) -> list:
    """The jobs for the whole series; what was sent slowly may have had one for less."""
    found = [job for job in jobs.list().jobs if job.series_instance_uid == series[0].SeriesInstanceUID]
    return [job for job in found if job.instance_count == len(series) and job.superseded_by is None]


def states_of(jobs, series) -> list[str]:
    return [job.state for job in whole_jobs(jobs, series)]


def test_every_part_is_still_there_and_ends_when_asked(parts) -> None:
    assert [name for name in PARTS if parts.running[name].poll() is not None] == []
    endings = {name: parts.stop(name) for name in PARTS}
    assert endings.pop("api") in {0, -signal.SIGTERM}  # uvicorn closes up, then dies of the signal after all
    assert set(endings.values()) == {0}


def test_a_long_table_of_verdicts_is_not_held_in_memory(settings) -> None:
    database = open_database(settings)
    crowd(database, 1)
    judged = {
        "structure": "CTV",
        "grade": "minor",
        "note": "",
        "reviewer": "r",
        "reviewer_name": "r",
        "at": 0.0,
    }
    with database.write() as session:
        job_id = session.scalar(select(JobRecord.id).where(JobRecord.series_uid == uid_of(0)))
        session.execute(insert(VerdictRecord), [judged | {"job_id": job_id} for _ in range(ROWS_AT_ONCE + 1)])
    cursors: list[object] = []
    event.listen(database.engine, "before_cursor_execute", lambda *arguments: cursors.append(arguments[1]))
    for with_history, count in ((True, ROWS_AT_ONCE + 1), (False, 1)):
        with database.read() as session:
            assert write_csv(session, StringIO(), settings, with_history=with_history) == count
    assert [type(cursor).__name__ for cursor in cursors] == ["ServerCursor", "ServerCursor"]
