"""A database of earlier and a broker that lost everything: no series is lost, none is contoured twice."""

import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def penumbra(system, *arguments):
    command = [sys.executable, "-m", "service.cli", *map(str, arguments)]
    subprocess.run(command, env=system.environment, check=True, capture_output=True)


def test_a_restored_database_and_a_lost_broker_lose_and_double_nothing(
    own_system, tmp_path, eventually, is_running
):
    system = own_system()
    before = system.new_series()
    system.wait_for(before, "done")
    running_then = system.new_series()
    system.wait_until_mid_job(running_then)
    penumbra(system, "backup", tmp_path / "backup")
    system.wait_for(running_then, "done")
    since = system.new_series()
    system.wait_for(since, "done")
    running_now = system.new_series()
    system.wait_until_mid_job(running_now)

    children = system.state()["children"].values()
    system.process.kill()
    system.process.wait()
    eventually(lambda: not any(is_running(pid) for pid in children), what="the end of all parts")
    for path in system.data_dir.glob("penumbra.sqlite*"):
        path.unlink()
    shutil.rmtree(system.data_dir / "redis")
    penumbra(system, "restore", tmp_path / "backup")

    system = own_system()
    for series_uid in (before, running_then, since, running_now):
        job = system.wait_for(series_uid, "done")
        assert (job.result_dir / "rtstruct.dcm").is_file()
        assert len(system.runs(job)) == (2 if series_uid == running_now else 1)
    assert len(system.jobs.list(limit=100).jobs) == 4
