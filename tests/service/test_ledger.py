import json
import threading
import time

import pytest

from service.ledger import SqlLedger
from worker.errors import Cancelled, NotCT
from worker.job_folder import RESULT_NAME, RTSTRUCT_NAME, attempt_dir
from worker.ledger import LeaseLost, Outcome, ProgressReport

pytestmark = pytest.mark.both_databases

SERIES = "1.2.826.0.1.3680043.10.999.7"
PROGRESS = ProgressReport(stage="ctv", structure="CTV", passes_done=5, passes_total=50, percent=70.0)


@pytest.fixture
def job(receive, jobs):
    receive()
    return jobs.submit(SERIES)


def write_attempt(claim, text="result"):
    out = attempt_dir(claim.folder, claim.fence)
    out.mkdir()
    (out / RESULT_NAME).write_text(json.dumps({"text": text}))
    (out / RTSTRUCT_NAME).write_text(text)


def text_of(job):
    return (job.result_dir / RTSTRUCT_NAME).read_text()


def expire(settings, database):
    """A ledger in whose eyes every lease ends at once."""
    return SqlLedger(settings.model_copy(update={"lease_s": 0.01}), database)


def test_job_is_claimed_once(ledger, job, jobs):
    claim = ledger.claim(job.id, "one")
    assert (claim.job_id, claim.fence) == (job.id, 1)
    assert ledger.claim(job.id, "two") is None
    assert jobs.get(job.id).state == "running"


def test_of_many_workers_one_gets_the_job(ledger, job):
    claims = []
    threads = [
        threading.Thread(target=lambda name=str(number): claims.append(ledger.claim(job.id, name)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claim is not None for claim in claims) == 1


def test_renewal_shows_progress_and_prolongs_the_lease(ledger, job, jobs):
    claim = ledger.claim(job.id, "one")
    ledger.renew(claim, PROGRESS)
    seen = jobs.get(job.id)
    assert (seen.stage, seen.structure, seen.passes_done, seen.percent) == ("ctv", "CTV", 5, 70.0)


def test_expired_lease_may_be_taken_and_the_old_claim_is_void(settings, database, job, jobs):
    short = expire(settings, database)
    old = short.claim(job.id, "one")
    write_attempt(old, "old")
    time.sleep(0.05)
    new = short.claim(job.id, "two")
    assert new.fence == old.fence + 1
    with pytest.raises(LeaseLost):
        short.renew(old, PROGRESS)
    assert not short.publish(old, Outcome("done"))
    write_attempt(new, "new")
    assert short.publish(new, Outcome("done"))
    assert not short.publish(new, Outcome("done"))
    assert text_of(jobs.get(job.id)) == "new"


def test_published_result_state_and_deliveries_appear_together(ledger, job, jobs):
    claim = ledger.claim(job.id, "one")
    write_attempt(claim)
    assert ledger.publish(claim, Outcome("done"))
    done = jobs.get(job.id)
    assert (done.state, done.percent) == ("done", 100.0)
    assert text_of(done) == "result"
    assert [(each.node, each.state) for each in done.deliveries] == [("TPS", "waiting")]
    assert not attempt_dir(claim.folder, claim.fence).exists()


def test_extra_destinations_get_the_result_too_and_unknown_senders_none(settings, database, receive, jobs):
    ledger = SqlLedger(settings.model_copy(update={"deliver_to": ("ARCHIVE", "TPS")}), database)
    receive()
    claim = ledger.claim(jobs.submit(SERIES, sender="STRANGER").id, "one")
    write_attempt(claim)
    ledger.publish(claim, Outcome("done"))
    assert [each.node for each in jobs.get(claim.job_id).deliveries] == ["ARCHIVE", "TPS"]


def test_result_that_a_crash_left_unannounced_gives_way(ledger, job, jobs, settings, database):
    short = expire(settings, database)
    first = short.claim(job.id, "one")
    write_attempt(first, "unannounced")
    attempt_dir(first.folder, first.fence).rename(first.folder / "result")  # and then the process died
    time.sleep(0.05)
    second = ledger.claim(job.id, "two")
    write_attempt(second, "second")
    assert ledger.publish(second, Outcome("done"))
    assert text_of(jobs.get(job.id)) == "second"


def test_rejected_job_keeps_its_reason_and_no_rtstruct(ledger, job, jobs):
    claim = ledger.claim(job.id, "one")
    write_attempt(claim)
    assert ledger.publish(claim, Outcome("rejected", NotCT("An MR series.").as_reason()))
    rejected = jobs.get(job.id)
    assert (rejected.state, rejected.reason["code"], rejected.deliveries) == ("rejected", "not-ct", ())
    assert [path.name for path in rejected.result_dir.iterdir()] == [RESULT_NAME]


def test_cancelled_job_hears_so_and_cannot_be_published(ledger, job, jobs):
    claim = ledger.claim(job.id, "one")
    jobs.cancel(job.id)
    with pytest.raises(Cancelled):
        ledger.renew(claim, PROGRESS)
    write_attempt(claim)
    ledger.publish(claim, Outcome("done"))
    cancelled = jobs.get(job.id)
    assert (cancelled.state, cancelled.deliveries) == ("cancelled", ())
    assert not (cancelled.result_dir / RTSTRUCT_NAME).exists()


def test_worker_takes_over_at_once_from_its_own_dead_child(ledger, job):
    first = ledger.claim(job.id, "one")
    second = ledger.claim(job.id, "one")
    assert second.fence == first.fence + 1


def test_attempts_are_capped(ledger, job):
    claims = [ledger.claim(job.id, "one") for _ in range(5)]
    assert [claim is not None for claim in claims] == [True, True, True, False, False]


@pytest.mark.parametrize(("count_attempt", "attempts"), [(True, 1), (False, 0)])
def test_what_a_gone_worker_held_is_queued_again(ledger, job, jobs, count_attempt, attempts):
    claim = ledger.claim(job.id, "one")
    assert ledger.abandon("another", count_attempt=count_attempt) == 0
    assert ledger.abandon("one", count_attempt=count_attempt) == 1
    seen = jobs.get(job.id)
    assert (seen.state, seen.attempts) == ("queued", attempts)
    with pytest.raises(LeaseLost):
        ledger.renew(claim, PROGRESS)
    assert ledger.claim(job.id, "two").fence > claim.fence


def test_delivery_is_tried_again_and_given_up_at_last(ledger, job, jobs):
    claim = ledger.claim(job.id, "one")
    write_attempt(claim)
    ledger.publish(claim, Outcome("done"))
    (delivery,) = jobs.get(job.id).deliveries
    for attempt in range(1, 4):
        sending = ledger.claim_delivery(delivery.id, "one")
        assert ledger.claim_delivery(delivery.id, "two") is None
        assert ledger.undelivered(sending, "no answer")
        assert not ledger.delivered(sending)
        (seen,) = jobs.get(job.id).deliveries
        assert (seen.attempts, seen.last_error) == (attempt, "no answer")
    assert seen.state == "failed"
    assert ledger.claim_delivery(delivery.id, "one") is None


def test_delivery_names_files_and_node(ledger, job, jobs):
    claim = ledger.claim(job.id, "one")
    write_attempt(claim)
    ledger.publish(claim, Outcome("done"))
    (delivery,) = jobs.get(job.id).deliveries
    sending = ledger.claim_delivery(delivery.id, "one")
    assert [path.read_text() for path in sending.files] == ["result"]
    assert (sending.ae_title, sending.host, sending.port) == ("TPS", "127.0.0.1", 1)
    assert sending.calling_ae == "PENUMBRA"
    assert ledger.delivered(sending)
    (seen,) = jobs.get(job.id).deliveries
    assert (seen.state, seen.last_error) == ("delivered", None)
