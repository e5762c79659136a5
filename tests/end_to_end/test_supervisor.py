"""The process tree as a whole: nothing survives its parent, nothing runs twice, a restart resumes."""

import os
import signal
import subprocess
import sys
import time


def tree(system, children_of):
    """All processes of a system but the supervisor."""
    direct = list(system.state()["children"].values())
    return direct + [grandchild for pid in direct for grandchild in children_of(pid)]


def test_stopped_and_killed_systems_leave_nothing_behind_and_resume(
    own_system, eventually, is_running, children_of
):
    system = own_system()
    refused = subprocess.run(
        [sys.executable, "-c", "from conftest import SERVE; exec(SERVE)"],
        env=system.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode != 0
    assert "AlreadyServed" in refused.stderr

    series_uid = system.new_series()
    system.submit(series_uid, passes=100)  # far longer than the 3 s that a stopped worker grants its task
    system.wait_until_mid_job(series_uid)
    processes = tree(system, children_of)
    assert len(processes) >= 8  # six children, and one process below each of the two workers
    began = time.monotonic()
    system.stop()
    assert time.monotonic() - began < 30
    assert [pid for pid in processes if is_running(pid)] == []
    job = system.job_of(series_uid)
    assert (job.state, job.attempts) == ("queued", 0)  # stopped on purpose: no fault of the job
    assert not (system.data_dir / "serve.json").exists()

    system = own_system()
    system.wait_until_mid_job(series_uid)
    processes = tree(system, children_of)
    os.kill(system.process.pid, signal.SIGKILL)
    system.process.wait()
    eventually(lambda: not any(map(is_running, processes)), within_s=20, what="the end of all processes")

    system = own_system()
    job = system.wait_for(series_uid, "done", "failed")
    assert (job.state, job.attempts) == ("done", 2)
    assert len(system.runs(job)) == 3
