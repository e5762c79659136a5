"""The clock is set while work is under way: the rows that wait are put right, and no others."""

import time
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update

from service import rate_limit
from service.actor import Actor
from service.clock import Clock
from service.inbox import Inbox
from service.ledger import SqlLedger
from service.rate_limit import RateLimits
from service.reconciler import Reconciler
from service.records import (
    CommitmentRecord,
    DeliveryRecord,
    JobRecord,
    OutboxRecord,
    PullRecord,
    SeriesRecord,
    WebhookRecord,
)
from service.roles import Role
from service.settings_access import RateSettings
from service.webhook_settings import WebhookSettings
from worker.ledger import Outcome

SERIES = "1.2.826.0.1.3680043.10.999.7"
HOUR_S = 3600.0


@pytest.fixture
def age(database):
    """Let all that was written be so many seconds older; negative: as if the clock had been set back since."""
    times = {
        SeriesRecord: ("last_received_at",),
        OutboxRecord: ("not_before",),
        JobRecord: ("lease_until", "enqueued_at", "updated_at"),
        DeliveryRecord: ("lease_until", "enqueued_at", "updated_at"),
        PullRecord: ("next_at", "updated_at"),
        CommitmentRecord: ("next_at", "deadline"),
        WebhookRecord: ("not_before", "lease_until"),
    }

    def shift(seconds):
        with database.write() as session:
            for table, names in times.items():
                session.execute(
                    update(table).values({name: getattr(table, name) - seconds for name in names})
                )

    return shift


@pytest.fixture
def row(database):
    def only(table):
        with database.read() as session:
            return session.scalars(select(table)).one()

    return only


@pytest.fixture
def running(receive, jobs, ledger):
    """A job that a worker computes."""
    receive()
    return ledger.claim(jobs.submit(SERIES).id, "one")


@pytest.fixture
def delivery_id(running, ledger, row, settings):
    (running.folder / f"attempt-{running.fence}").mkdir()
    assert ledger.publish(running, Outcome("done"))
    return row(DeliveryRecord).id


def ahead(seconds):
    return pytest.approx(time.time() + seconds, abs=20)


def test_a_series_is_complete_soon_though_the_clock_was_set_back(settings, database, receive, age, row):
    receive()
    age(-5 * HOUR_S)
    Reconciler(settings, database).sweep()
    assert row(SeriesRecord).last_received_at == ahead(0)  # the quiet period begins anew


def test_a_dead_workers_lease_ends_though_the_clock_was_set_back(settings, database, running, age, row):
    age(-5 * HOUR_S)
    Clock(settings, database).mend_future()
    assert row(JobRecord).lease_until == ahead(settings.lease_s)


def test_a_message_goes_out_and_is_repeated_though_the_clock_was_set_back(
    settings, database, receive, jobs, age, row
):
    receive()
    jobs.submit(SERIES)
    with database.write() as session:
        session.execute(update(JobRecord).values(enqueued_at=time.time()))
    age(-5 * HOUR_S)
    Clock(settings, database).mend_future()
    assert row(OutboxRecord).not_before <= time.time()
    assert row(JobRecord).enqueued_at <= time.time()


def test_a_failed_delivery_is_tried_again_though_the_clock_was_set_back(
    settings, database, delivery_id, ledger, age
):
    for _ in range(2):  # the second time it pauses for a minute
        ledger.undelivered(ledger.claim_delivery(delivery_id, "d"), "down")
    age(-1800)
    Clock(settings, database).mend_future()
    with database.read() as session:
        waiting = session.scalars(select(OutboxRecord.not_before).where(OutboxRecord.kind == "deliver")).all()
        delivery = session.get_one(DeliveryRecord, delivery_id)
    assert max(waiting) <= time.time()
    assert max(delivery.enqueued_at, delivery.updated_at) <= time.time()


def test_a_delivery_under_way_can_be_taken_over_though_the_clock_was_set_back(
    settings, database, delivery_id, ledger, age, row
):
    assert ledger.claim_delivery(delivery_id, "d")
    age(-5 * HOUR_S)
    Clock(settings, database).mend_future()
    assert row(DeliveryRecord).lease_until == ahead(settings.delivery_lease_s)


@pytest.mark.both_databases
def test_pulls_commitments_and_webhooks_go_on_though_the_clock_was_set_back(
    settings, database, delivery_id, age, row
):
    now = time.time()
    about = {"node": "TPS", "attempts": 1, "created_at": now, "updated_at": now}
    with database.write() as session:
        session.add(
            PullRecord(
                id="p", method="move", state="waiting", study_uid="1.2", series_uid="1.3", received=0,
                next_at=now + 30, **about,
            )
        )  # fmt: skip
        session.add(
            CommitmentRecord(
                transaction_uid="1.4", delivery_id=delivery_id, state="waiting", next_at=now,
                deadline=now + settings.pacs.commitment_timeout_s, **about,
            )
        )  # fmt: skip
        session.add(
            WebhookRecord(
                name="hook", last_event_id=0, attempts=1, skipped=0, not_before=now, lease_until=now
            )
        )
    age(-5 * HOUR_S)
    hook = WebhookSettings(name="hook", url="https://127.0.0.1/", secret_file="/nowhere")
    Clock(settings.model_copy(update={"webhooks": (hook,)}), database).mend_future()
    assert row(PullRecord).next_at <= time.time()
    assert row(CommitmentRecord).next_at <= time.time()
    assert row(CommitmentRecord).deadline == ahead(settings.pacs.commitment_timeout_s)
    assert (row(WebhookRecord).not_before, row(WebhookRecord).lease_until) == (None, None)


def test_what_lies_ahead_as_it_should_is_left_alone(settings, database, delivery_id, ledger, row):
    for _ in range(2):
        ledger.undelivered(ledger.claim_delivery(delivery_id, "d"), "down")
    before = row(DeliveryRecord).enqueued_at
    Clock(settings, database).mend_future()
    assert row(DeliveryRecord).enqueued_at == before == ahead(60)
    with database.read() as session:
        assert session.scalar(select(OutboxRecord).order_by(OutboxRecord.id.desc())).not_before == ahead(60)


@pytest.fixture
def set_forward(settings, database, age):
    """A clock that is set five hours forward: what was written before is that much older all at once."""

    def leap(hours=5):
        times = SimpleNamespace(now=time.time(), steady=0.0)
        clock = Clock(settings, database, now=lambda: times.now, steady=lambda: times.steady)
        clock.agrees = lambda: True  # the database's clock is set along with it
        for seconds in (1, hours * HOUR_S):  # an ordinary second is no leap
            times.now, times.steady = times.now + seconds, times.steady + 1
            clock.follow()
        age(hours * HOUR_S)  # to the time of this test

    return leap


@pytest.mark.both_databases
def test_a_living_workers_lease_survives_a_clock_that_is_set_forward(
    settings, database, running, set_forward, jobs
):
    set_forward()
    Reconciler(settings, database).sweep()
    assert jobs.get(running.job_id).state == "running"


def test_a_delivery_under_way_is_not_sent_twice_when_the_clock_is_set_forward(
    settings, database, delivery_id, ledger, set_forward, row
):
    claim = ledger.claim_delivery(delivery_id, "d")
    set_forward()
    Reconciler(settings, database).sweep()
    assert row(DeliveryRecord).state == "sending"
    assert ledger.delivered(claim)


def test_a_series_that_still_comes_is_not_cut_by_a_clock_that_is_set_forward(
    settings, database, receive, set_forward
):
    receive()
    set_forward()
    assert not Inbox(settings, database).quiet_series()


def test_a_lease_that_had_run_out_before_is_not_given_back(
    settings, database, jobs, receive, set_forward, age
):
    receive()
    job = jobs.submit(SERIES)
    assert SqlLedger(settings, database).claim(job.id, "one")
    age(settings.lease_s + 60)
    set_forward()
    Reconciler(settings, database).sweep()
    assert jobs.get(job.id).state == "queued"


@pytest.mark.both_databases
def test_a_host_whose_clock_is_not_the_databases_releases_nothing(
    settings, database, running, age, jobs, monkeypatch
):
    age(2 * HOUR_S)
    unmoved = time.time
    monkeypatch.setattr(time, "time", lambda: unmoved() + HOUR_S)
    is_shared = database.engine.dialect.name == "postgresql"  # a file has the clock of whoever opens it
    Reconciler(settings, database).step()
    assert jobs.get(running.job_id).state == ("running" if is_shared else "queued")
    monkeypatch.undo()
    Reconciler(settings, database).step()
    assert jobs.get(running.job_id).state == "queued"


def test_whoever_asked_much_is_not_kept_out_for_hours_when_the_clock_is_set_back(monkeypatch):
    hours = [0.0]
    unmoved = time.time
    monkeypatch.setattr(time, "time", lambda: unmoved() + hours[0] * HOUR_S)
    limits = RateLimits(RateSettings(requests="3/minute"))
    actor = Actor(kind="token", name="t", role=Role.VIEW)
    assert [limits.ask(actor, "GET") is None for _ in range(4)] == [True, True, True, False]
    hours[0] = -5
    assert [limits.ask(actor, "GET") is None for _ in range(4)] == [True, True, True, False]
    assert rate_limit.SET_BACK_S < 60
