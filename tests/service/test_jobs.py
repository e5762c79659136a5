import threading

import pytest

from service.jobs import JobNotFound, SeriesNotFound, StateConflict
from worker.job_folder import instances_dir, read_request

pytestmark = pytest.mark.both_databases

SERIES = "1.2.826.0.1.3680043.10.999.7"


def test_job_begins_with_the_first_instance_and_keeps_its_id(jobs, receive):
    receive(slices=2)
    (receiving,) = jobs.list().jobs
    assert (receiving.state, receiving.instance_count) == ("receiving", 2)
    queued = jobs.submit(SERIES)
    assert (queued.id, queued.state, queued.revision) == (receiving.id, "queued", 1)


def test_job_folder_has_the_request_and_every_instance(jobs, receive, settings):
    receive(slices=3)
    job = jobs.submit(SERIES, passes=7, seed=3, bundle="phantom")
    folder = settings.jobs_dir / job.id
    request = read_request(folder)
    assert (request.job_id, request.passes, request.seed, request.bundle) == (job.id, 7, 3, "phantom")
    names = sorted(path.name for path in instances_dir(folder).iterdir())
    assert names == ["000001.dcm", "000002.dcm", "000003.dcm"]


def test_same_series_with_the_same_options_is_the_same_job(jobs, receive):
    receive()
    first = jobs.submit(SERIES)
    receive()
    assert jobs.submit(SERIES).id == first.id
    assert jobs.submit(SERIES, seed=1).id != first.id


def test_same_submission_from_many_threads_makes_one_job(jobs, receive):
    receive()
    found = []
    threads = [threading.Thread(target=lambda: found.append(jobs.submit(SERIES).id)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert len(jobs.list().jobs) == 1


def test_late_slice_makes_a_new_revision_and_supersedes_the_old_job(jobs, receive):
    receive()
    old = jobs.submit(SERIES)
    receive(slices=1, first=4)
    new = jobs.submit(SERIES)
    old = jobs.get(old.id)
    assert (new.revision, new.instance_count, new.state) == (2, 4, "queued")
    assert (old.superseded_by, old.state) == (new.id, "cancelled")
    assert "later slice" in old.reason["message"]
    with pytest.raises(StateConflict, match="newer"):
        jobs.retry(old.id)


def test_unknown_series_and_unknown_job(jobs):
    with pytest.raises(SeriesNotFound):
        jobs.submit("1.2.3")
    with pytest.raises(JobNotFound):
        jobs.get("nothing")


def test_queued_job_is_cancelled_at_once_and_can_be_retried(jobs, receive):
    receive()
    job = jobs.cancel(jobs.submit(SERIES).id)
    assert (job.state, job.reason["code"]) == ("cancelled", "cancelled")
    assert jobs.cancel(job.id).state == "cancelled"
    job = jobs.retry(job.id)
    assert (job.state, job.reason, job.attempts) == ("queued", None, 0)
    with pytest.raises(StateConflict):
        jobs.retry(job.id)


def test_job_cancelled_while_it_receives_ends_when_the_series_is_whole(jobs, receive, ledger):
    receive()
    (receiving,) = jobs.list().jobs
    assert jobs.cancel(receiving.id).state == "receiving"
    job = jobs.submit(SERIES)
    assert (job.id, job.state) == (receiving.id, "cancelled")
    assert ledger.claim(job.id, "worker") is None


def test_pages_cover_every_job_once_newest_first(jobs, receive):
    for number in range(1, 6):
        receive(f"1.2.3.{number}", slices=1)
    seen, cursor = [], None
    while True:
        page = jobs.list(limit=2, cursor=cursor)
        seen += [job.series_instance_uid for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"1.2.3.{number}" for number in (5, 4, 3, 2, 1)]
    assert jobs.list(states=["done"]).jobs == ()
    with pytest.raises(ValueError, match="float"):
        jobs.list(cursor="nonsense")


def test_changes_come_in_order_and_once(jobs, receive):
    receive()
    seen = jobs.version()
    job = jobs.submit(SERIES)
    (change,) = jobs.changes_since(seen)
    assert (change.id, change.state) == (job.id, "queued")
    assert change.version == jobs.version() > seen
    assert list(jobs.changes_since(change.version)) == []
