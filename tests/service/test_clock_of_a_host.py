"""A host's clock is wrong: slow, hours ahead, or set while the database is away. Nothing healthy is touched by it."""

import time

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from service.clock import Clock
from service.commitment import Commitments
from service.errands import in_step
from service.reconciler import Reconciler
from service.records import (
    CommitmentRecord,
    DeliveryRecord,
    JobRecord,
    OutboxRecord,
    PullRecord,
    SeriesRecord,
)
from service.retention_settings import RetentionSettings
from worker.ledger import Outcome

SERIES = "1.2.826.0.1.3680043.10.999.7"
HOUR_S, DAY_S = 3600.0, 24 * 3600.0


class Times:
    """A wall clock that can be set, beside one that cannot."""

    def __init__(self):
        self.ahead, self.began = 0.0, time.time()

    def now(self):
        return time.time() + self.ahead

    def steady(self):
        return time.time() - self.began


@pytest.fixture
def times():
    return Times()


@pytest.fixture
def clock(settings, database, times):
    return Clock(settings, database, now=times.now, steady=times.steady)


@pytest.fixture
def host_ahead(monkeypatch):
    """All of this process goes by a clock that is ahead, or behind, by so many seconds."""
    unmoved = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: unmoved() + seconds)


@pytest.fixture
def ended(receive, jobs, ledger):
    """A job that is done; its delivery waits."""
    receive()
    claim = ledger.claim(jobs.submit(SERIES).id, "one")
    attempt = claim.folder / f"attempt-{claim.fence}"
    attempt.mkdir()
    (attempt / "result.json").write_text('{"state": "done"}')
    assert ledger.publish(claim, Outcome("done"))
    return claim.job_id


@pytest.fixture
def delivery_id(ended, jobs):
    return jobs.get(ended).deliveries[0].id


@pytest.fixture
def add_pull(database):
    def add(**values):
        now = time.time()
        about = {"node": "TPS", "method": "move", "study_uid": "1.2", "series_uid": "1.3", "attempts": 1}
        times = {"next_at": now, "created_at": now, "updated_at": now}
        with database.write() as session:
            session.add(PullRecord(id="p", received=0, **{**about, **times, **values}))

    return add


@pytest.fixture
def pull(database):
    def read():
        with database.read() as session:
            return session.get_one(PullRecord, "p")

    return read


@pytest.fixture
def commitment(settings, database, delivery_id):
    """Asked for an hour ago, 23 hours to go."""
    now = time.time()
    with database.write() as session:
        session.add(
            CommitmentRecord(
                transaction_uid="1.4", delivery_id=delivery_id, node="TPS", state="asked", attempts=1,
                next_at=now, deadline=now + 23 * HOUR_S, created_at=now - HOUR_S, updated_at=now - HOUR_S,
            )
        )  # fmt: skip

    def read():
        with database.read() as session:
            return session.get_one(CommitmentRecord, "1.4")

    return read


@pytest.fixture
def everything(database):
    """All times by which something waits."""

    def read():
        columns = (
            SeriesRecord.last_received_at,
            OutboxRecord.not_before,
            DeliveryRecord.enqueued_at,
            DeliveryRecord.updated_at,
            PullRecord.next_at,
            PullRecord.updated_at,
        )
        with database.read() as session:
            return [session.scalars(select(each).order_by(each)).all() for each in columns]

    return read


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # a file has one clock
def test_a_host_that_is_slow_by_seconds_mends_nothing_that_is_healthy(
    settings, database, ledger, delivery_id, receive, add_pull, times, everything
):
    for _ in range(2):  # the second time it pauses for a minute
        ledger.undelivered(ledger.claim_delivery(delivery_id, "d"), "down")
    add_pull(state="running", next_at=time.time() + settings.pacs.pull_lease_s)
    receive(SERIES + "1")  # and it still comes
    before = everything()
    times.ahead = -20.0
    given = settings.model_copy(update={"lease_s": 60.0})
    slow = Clock(given, database, now=times.now, steady=times.steady)
    assert slow.agrees()
    slow.mend_future()
    assert everything() == before


@pytest.mark.both_databases
def test_a_wrong_clock_takes_up_nothing_and_deletes_nothing(
    settings, database, ended, receive, jobs, host_ahead
):
    receive(SERIES + "1")
    with database.write() as session:
        session.execute(update(DeliveryRecord).values(state="delivered"))
    given = settings.model_copy(update={"retention": RetentionSettings(series_days=1, results_days=1)})
    host_ahead(400 * DAY_S)
    Reconciler(given, database).step()
    is_shared = database.engine.dialect.name == "postgresql"  # a file has the clock of whoever opens it
    assert (jobs.get(ended).result_dir is not None) is is_shared
    states = [job.state for job in jobs.list().jobs]
    assert states.count("receiving") == (1 if is_shared else 0)


@pytest.mark.both_databases
def test_a_leap_that_is_not_the_databases_gives_no_lease_until_the_clock_is_back(
    database, ended, clock, times
):
    until = time.time() + 10
    with database.write() as session:
        session.execute(update(JobRecord).values(state="running", lease_until=until))
    times.ahead = 5 * HOUR_S
    is_shared = database.engine.dialect.name == "postgresql"
    assert clock.follow() is not is_shared
    with database.read() as session:
        assert (session.scalar(select(JobRecord.lease_until)) == until) is is_shared
    times.ahead = 0.0
    assert clock.follow()


def test_a_leap_is_not_forgotten_when_the_database_is_away(database, ended, clock, times, monkeypatch):
    with database.write() as session:
        session.execute(update(JobRecord).values(state="running", lease_until=time.time() + 10))
    times.ahead = 5 * HOUR_S
    with monkeypatch.context() as away:
        away.setattr(clock, "_mend", _is_away)
        with pytest.raises(OperationalError):
            clock.follow()
    assert clock.follow()
    with database.read() as session:
        assert session.scalar(select(JobRecord.lease_until)) > times.now()


def _is_away(_mends):
    raise OperationalError("update", {}, Exception("away"))


def test_nothing_is_deleted_by_age_after_a_leap_of_more_than_a_day(
    settings, database, ended, jobs, host_ahead, monkeypatch
):
    with database.write() as session:
        session.execute(update(DeliveryRecord).values(state="delivered"))
    given = settings.model_copy(update={"retention": RetentionSettings(results_days=30, sweep_s=1e-6)})
    reconciler = Reconciler(given, database)
    reconciler._clock._now = lambda: time.time()  # as it is set below
    host_ahead(400 * DAY_S)
    for _ in range(2):
        reconciler.step()
    assert jobs.get(ended).result_dir is not None
    monkeypatch.undo()
    with database.write() as session:
        session.execute(update(JobRecord).values(updated_at=time.time() - 31 * DAY_S))
    reconciler.step()  # the clock is right again
    assert jobs.get(ended).result_dir is None


def test_a_leap_of_hours_does_not_hold_retention(clock, times):
    times.ahead = 5 * HOUR_S
    assert not clock.is_far_ahead()
    times.ahead = 25 * HOUR_S
    assert clock.is_far_ahead()
    times.ahead = 0.0
    assert not clock.is_far_ahead()


@pytest.mark.both_databases
def test_a_pull_under_way_is_not_begun_twice_though_the_clock_was_set_back(settings, add_pull, pull, clock):
    lease_s = settings.pacs.pull_lease_s
    add_pull(state="running", next_at=time.time() + 5 * HOUR_S + lease_s, updated_at=time.time() + 5 * HOUR_S)
    clock.mend_future()
    assert pull().next_at == pytest.approx(time.time() + lease_s, abs=20)


def test_a_dead_pull_is_taken_over_though_its_start_was_long_before_its_last_renewal(
    settings, add_pull, pull, clock
):
    lease_s = settings.pacs.pull_lease_s
    add_pull(state="running", next_at=time.time() + 5 * HOUR_S + lease_s)  # `updated_at` is its start
    clock.mend_future()
    assert pull().next_at == pytest.approx(time.time() + lease_s, abs=20)


def test_a_commitment_that_is_awaited_does_not_end_when_the_clock_is_set_forward(
    settings, database, commitment, host_ahead
):
    clock = Clock(settings, database, now=lambda: time.time())  # as it is set below
    host_ahead(30 * HOUR_S)
    in_step(clock, Commitments(settings, database).work)()
    assert commitment().state == "asked"
    assert commitment().deadline == pytest.approx(time.time() + settings.pacs.commitment_timeout_s, abs=20)
