"""The same series again with other options: both jobs stay, and nobody gets the second unasked."""

import pytest

from service.jobs import StateConflict
from worker.job_folder import Outcome, instances_dir, read_request

SERIES = "1.2.826.0.1.3680043.10.999.7"


@pytest.fixture
def finish(ledger):
    def run(job):
        assert ledger.publish(ledger.claim(job.id, "one"), Outcome("done"))

    return run


@pytest.fixture
def first(jobs, receive, finish):
    receive()
    job = jobs.submit(SERIES, passes=7, seed=3, bundle="a", priority=6)
    finish(job)
    return job


def test_a_rerun_differs_in_what_is_asked_and_in_nothing_else(jobs, first, settings):
    second = jobs.rerun(first.id, bundle="b")
    assert (second.bundle, second.passes, second.seed, second.priority) == ("b", 7, 3, 6)
    assert (second.rerun_of, second.revision, second.state) == (first.id, first.revision, "queued")
    folder = settings.jobs_dir / second.id
    assert read_request(folder).bundle == "b"
    assert len(list(instances_dir(folder).iterdir())) == 3


def test_both_jobs_stand_side_by_side(jobs, first, finish):
    finish(jobs.rerun(first.id, bundle="b"))
    assert {job.state for job in jobs.list().jobs} == {"done"}
    assert all(job.superseded_by is None for job in jobs.list().jobs)


def test_a_reruns_result_goes_to_a_node_only_if_that_is_asked(jobs, first, finish):
    assert [each.node for each in jobs.get(first.id).deliveries] == ["TPS"]
    silent, sent = jobs.rerun(first.id, bundle="b"), jobs.rerun(first.id, bundle="c", deliver=True)
    finish(silent)
    finish(sent)
    assert jobs.get(silent.id).deliveries == ()
    assert [each.node for each in jobs.get(sent.id).deliveries] == ["TPS"]


def test_the_same_options_are_no_rerun(jobs, first):
    with pytest.raises(StateConflict, match="same result"):
        jobs.rerun(first.id, bundle="a", passes=7)


def test_only_a_series_that_is_complete_and_current_is_rerun(jobs, first, receive):
    receive(slices=1, first=4)
    with pytest.raises(StateConflict, match="still being received"):
        jobs.rerun(first.id, bundle="b")
    jobs.submit(SERIES, bundle="a")
    with pytest.raises(StateConflict, match="newer job"):
        jobs.rerun(first.id, bundle="b")


def test_only_a_job_that_waits_has_a_priority_to_change(jobs, first):
    waiting = jobs.rerun(first.id, bundle="b")
    assert jobs.set_priority(waiting.id, 0).priority == 0
    with pytest.raises(StateConflict, match="done"):
        jobs.set_priority(first.id, 0)
