import time

import pytest
from sqlalchemy import select, update

from service.ledger import SqlLedger
from service.reconciler import Reconciler
from service.records import DeliveryRecord, JobRecord, OutboxRecord
from worker.ledger import Outcome

pytestmark = pytest.mark.both_databases

SERIES = "1.2.826.0.1.3680043.10.999.7"


@pytest.fixture
def reconciler(settings, database):
    return Reconciler(settings, database)


@pytest.fixture
def hasty(settings, database):
    """A ledger whose leases end at once."""
    return SqlLedger(settings.model_copy(update={"lease_s": 0.01, "delivery_lease_s": 0.01}), database)


@pytest.fixture
def job(receive, jobs):
    receive()
    return jobs.submit(SERIES)


@pytest.fixture
def outbox(database):
    def waiting(kind="segment"):
        query = select(OutboxRecord.ref).where(OutboxRecord.done_at.is_(None), OutboxRecord.kind == kind)
        with database.read() as session:
            return list(session.scalars(query))

    return waiting


@pytest.fixture
def sent(database):
    """The relay published everything, so long ago."""

    def mark(ago_s=0.0, **values):
        with database.write() as session:
            session.execute(update(OutboxRecord).values(done_at=time.time() - ago_s))
            told = time.time() - ago_s
            session.execute(update(JobRecord).values(enqueued_at=told, enqueue_count=1, **values))
            session.execute(update(DeliveryRecord).values(enqueued_at=told))

    return mark


def test_quiet_series_is_submitted_once(reconciler, receive, jobs, settings):
    receive()
    reconciler.submit_quiet_series()
    assert [job.state for job in jobs.list().jobs] == ["receiving"]
    time.sleep(settings.quiet_period_s * 1.5)
    reconciler.submit_quiet_series()
    reconciler.submit_quiet_series()
    assert [job.state for job in jobs.list().jobs] == ["queued"]


def test_expired_lease_queues_the_job_again(reconciler, hasty, job, jobs, outbox, sent):
    hasty.claim(job.id, "one")
    sent()
    time.sleep(0.05)
    reconciler.sweep()
    assert jobs.get(job.id).state == "queued"
    assert outbox() == [job.id]


def test_living_lease_is_left_alone(reconciler, ledger, job, jobs):
    ledger.claim(job.id, "one")
    reconciler.sweep()
    assert jobs.get(job.id).state == "running"


def test_job_that_lost_its_worker_too_often_fails(reconciler, hasty, job, jobs):
    for _ in range(3):
        hasty.claim(job.id, "one")
        time.sleep(0.03)
        reconciler.sweep()
    failed = jobs.get(job.id)
    assert (failed.state, failed.reason["code"], failed.attempts) == ("failed", "worker-lost", 3)
    assert jobs.retry(job.id).state == "queued"
    assert hasty.claim(job.id, "one") is not None


def test_cancelled_job_of_a_lost_worker_ends_cancelled(reconciler, hasty, job, jobs):
    hasty.claim(job.id, "one")
    jobs.cancel(job.id)
    time.sleep(0.03)
    reconciler.sweep()
    assert jobs.get(job.id).state == "cancelled"


def test_lost_message_is_sent_again_after_a_while(reconciler, settings, job, outbox, sent):
    sent(ago_s=settings.resend_s / 2)
    reconciler.sweep()
    assert outbox() == []
    sent(ago_s=settings.resend_s * 2)
    reconciler.sweep()
    reconciler.sweep()
    assert outbox() == [job.id]


def test_unpublished_message_is_not_doubled(reconciler, job, outbox, database):
    with database.write() as session:
        session.execute(update(JobRecord).values(updated_at=0.0))
    reconciler.sweep()
    assert outbox() == [job.id]


def test_lost_delivery_worker_and_lost_delivery_message(reconciler, hasty, job, jobs, outbox, sent, settings):
    claim = hasty.claim(job.id, "one")
    hasty.publish(claim, Outcome("done"))
    (delivery,) = jobs.get(job.id).deliveries
    sent()
    hasty.claim_delivery(delivery.id, "one")
    time.sleep(0.05)
    reconciler.sweep()
    assert jobs.get(job.id).deliveries[0].state == "waiting"
    assert outbox("deliver") == [delivery.id]
    sent(ago_s=settings.resend_s * 2)
    reconciler.sweep()
    assert outbox("deliver") == [delivery.id]


def test_old_outbox_rows_go(reconciler, job, database, sent):
    sent(ago_s=2 * 24 * 3600)
    with database.write() as session:
        session.execute(update(JobRecord).values(state="done"))
    reconciler.sweep()
    with database.read() as session:
        assert session.scalars(select(OutboxRecord)).all() == []
