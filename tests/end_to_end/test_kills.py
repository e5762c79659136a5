"""kill -9 of each part in the middle of a job: the system comes back by itself and the job ends done, once."""

import pytest

pytestmark = pytest.mark.xdist_group("system")


def assert_done_once(system, series_uid):
    job = system.wait_for(series_uid, "done", "failed", "rejected", "cancelled")
    assert job.state == "done", job
    assert (job.result_dir / "rtstruct.dcm").is_file()
    folder = job.result_dir.parent
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["instances", "result"]
    assert sum(each.series_instance_uid == series_uid for each in system.jobs.list(limit=200).jobs) == 1
    return job


@pytest.mark.parametrize("part", ["worker", "listener", "api", "broker", "reconciler", "delivery"])
def test_job_ends_done_once_after_a_part_was_killed(system, part):
    series_uid = system.new_series()
    system.wait_until_mid_job(series_uid)
    system.kill(part)
    job = assert_done_once(system, series_uid)
    assert len(system.runs(job)) == (2 if part == "worker" else 1)
    following = system.new_series(InstanceCreationTime="120000")
    assert_done_once(system, following)


def test_job_ends_done_once_after_the_computing_process_was_killed(system):
    series_uid = system.new_series()
    system.wait_until_mid_job(series_uid)
    worker = system.pid("worker")
    system.kill_worker_child()
    job = assert_done_once(system, series_uid)
    assert len(system.runs(job)) == 2
    assert system.pid("worker") == worker
