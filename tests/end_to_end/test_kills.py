"""kill -9 of each part in the middle of a job: the system comes back by itself, the job ends done, once."""

import os
import signal
import time

import pytest

from service.probes import listener_answers
from service.settings import ServiceSettings

pytestmark = pytest.mark.xdist_group("system")


def assert_done_once(system, planning_system, series_uid, eventually):
    job = system.wait_for(series_uid, "done", "failed", "rejected", "cancelled")
    assert job.state == "done", job
    assert (job.result_dir / "rtstruct.dcm").is_file()
    folder = job.result_dir.parent
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["instances", "result"]
    assert sum(each.series_instance_uid == series_uid for each in system.jobs.list(limit=200).jobs) == 1
    eventually(lambda: planning_system.count(series_uid) > 0, what="delivery")
    assert planning_system.count(series_uid) == 1
    return job


@pytest.mark.parametrize("part", ["worker", "listener", "api", "broker", "reconciler", "delivery"])
def test_job_ends_done_once_after_a_part_was_killed(system, planning_system, eventually, part):
    series_uid = system.new_series()
    system.wait_until_mid_job(series_uid)
    system.kill(part)
    job = assert_done_once(system, planning_system, series_uid, eventually)
    assert len(system.runs(job)) == (2 if part == "worker" else 1)
    following = system.new_series()
    system.submit(following)
    assert_done_once(system, planning_system, following, eventually)


def test_job_ends_done_once_after_the_computing_process_was_killed(system, planning_system, eventually):
    series_uid = system.new_series()
    system.wait_until_mid_job(series_uid)
    worker = system.pid("worker")
    system.kill_worker_child()
    job = assert_done_once(system, planning_system, series_uid, eventually)
    assert len(system.runs(job)) == 2
    assert system.pid("worker") == worker


def test_series_is_whole_when_the_listener_died_while_it_arrived(
    system, planning_system, eventually, new_uid
):
    series_uid = new_uid()
    kept = system.send(series_uid, 2)
    system.kill("listener")
    eventually(lambda: _send_all(system, series_uid, 6), what="sending again")
    assert kept == [0x0000, 0x0000]
    system.wait_for(series_uid, "queued", "running", "done")
    newest = system.job_of(series_uid)
    assert newest.instance_count == 6
    system.wait_for(series_uid, "done")
    eventually(lambda: planning_system.count(series_uid) > 0, what="delivery")


def _send_all(system, series_uid, slices):
    try:
        return set(system.send(series_uid, slices)) == {0x0000}
    except ConnectionError:
        return False


def test_intake_goes_on_while_the_broker_hangs(system, planning_system, eventually):
    os.kill(system.pid("broker"), signal.SIGSTOP)
    try:
        started = time.monotonic()
        series_uid = system.new_series()
        job = system.submit(series_uid)
        assert time.monotonic() - started < 10
    finally:
        os.kill(system.pid("broker"), signal.SIGCONT)
    assert job.state == "queued"
    assert_done_once(system, planning_system, series_uid, eventually)


def test_job_that_kills_its_worker_is_given_up_and_the_next_one_runs(system, planning_system, eventually):
    poison = system.submit(system.new_series(), passes=2, seed=666)
    following = system.new_series()
    system.submit(following, passes=2)
    job = system.wait_for(poison.series_instance_uid, "failed")
    assert job.reason["code"] == "worker-lost"
    assert len(system.runs(job)) == 3
    assert planning_system.count(poison.series_instance_uid) == 0
    assert_done_once(system, planning_system, following, eventually)


def test_cancelled_job_leaves_no_result(system, planning_system):
    job = system.submit(system.new_series(), passes=200)
    system.wait_until_mid_job(job.series_instance_uid)
    system.jobs.cancel(job.id)
    job = system.wait_for(job.series_instance_uid, "cancelled", "done")
    assert job.state == "cancelled"
    assert job.result_dir is None
    assert not (system.data_dir / "jobs" / job.id / "result").exists()
    assert planning_system.count(job.series_instance_uid) == 0


def test_listener_that_does_not_answer_is_noticed(system):
    settings = ServiceSettings(data_dir=system.data_dir, dicom_port=system.state()["dicom_port"])
    assert listener_answers(settings)
    os.kill(system.pid("listener"), signal.SIGSTOP)
    assert not listener_answers(settings)
    os.kill(system.pid("listener"), signal.SIGCONT)
