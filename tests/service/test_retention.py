"""What is old goes, whole and audited; what somebody needs stays; a crash in between loses nothing."""

import json
import os
import shutil
import time

import pytest
from sqlalchemy import select, update

from service import retention, trash
from service.file_lock import only_one
from service.jobs import SeriesNotFound, StateConflict
from service.reconciler import Reconciler
from service.records import AuditRecord, DeliveryRecord, InstanceRecord, JobRecord, SeriesRecord
from service.retention import Retention
from service.retention_settings import RetentionSettings
from worker.ledger import Outcome

SERIES = "1.2.826.0.1.3680043.10.999.7"
OTHER = "1.2.826.0.1.3680043.10.999.8"
DAY_S = 24 * 3600


@pytest.fixture
def sweep(settings, database):
    """Sweep by these rules."""

    def run(**rules):
        given = settings.model_copy(update={"retention": RetentionSettings(**rules)})
        return Retention(given, database).sweep()

    return run


@pytest.fixture
def age(database):
    """Everything in the database happened so many days earlier."""

    def shift(days):
        with database.write() as session:
            for column in (SeriesRecord.last_received_at, JobRecord.updated_at):
                session.execute(update(column.class_).values({column.key: column - days * DAY_S}))

    return shift


@pytest.fixture
def finished(receive, jobs, ledger, database):
    """A series of three slices whose job is done, delivered unless told otherwise."""

    def make(series_uid=SERIES, *, delivered=True):
        receive(series_uid)
        job = jobs.submit(series_uid)
        claim = ledger.claim(job.id, "one")
        attempt = claim.folder / f"attempt-{claim.fence}"
        attempt.mkdir()
        (attempt / "result.json").write_text(json.dumps({"state": "done"}))
        (attempt / "rtstruct.dcm").write_bytes(b"x")
        assert ledger.publish(claim, Outcome("done"))
        if delivered:
            with database.write() as session:
                session.execute(update(DeliveryRecord).values(state="delivered"))
        return jobs.get(job.id)

    return make


@pytest.fixture
def files(settings):
    """Paths below the data folder that hold patient data."""

    def found():
        folders = (
            settings.inbox_dir,
            settings.jobs_dir,
            settings.data_dir / "trash",
            settings.quarantine_dir,
        )
        return sorted(p for folder in folders for p in folder.rglob("*") if p.is_file())

    return found


@pytest.fixture
def deletions(database):
    """What the audit log says was deleted."""

    def read():
        query = select(AuditRecord).where(AuditRecord.action == "deleted").order_by(AuditRecord.seq)
        with database.read() as session:
            return [(row.series_uid, json.loads(row.detail)) for row in session.scalars(query)]

    return read


def test_nothing_is_deleted_unless_it_is_set(finished, age, sweep, files):
    finished()
    age(10_000)
    before = files()
    assert sweep() == 0
    assert files() == before


def test_old_series_and_result_go_with_every_file_and_are_audited(
    finished, age, sweep, files, deletions, jobs
):
    job = finished()
    age(31)
    assert sweep(series_days=30, results_days=30) == 2
    assert files() == []
    assert deletions() == [
        (SERIES, {"instances": 3, "kind": "series", "why": "age"}),
        (SERIES, {"kind": "result", "why": "age"}),
    ]
    gone = jobs.get(job.id)
    assert (gone.state, gone.result_dir, gone.reason["code"]) == ("done", None, "expired")
    assert sweep(series_days=30, results_days=30) == 0
    assert len(deletions()) == 2


def test_what_is_young_stays(finished, age, sweep, files):
    finished()
    age(29)
    before = files()
    assert sweep(series_days=30, results_days=30) == 0
    assert files() == before


def test_a_result_may_go_before_its_series_and_the_other_way_round(finished, age, sweep, jobs):
    first, second = finished(SERIES), finished(OTHER)
    age(31)
    assert sweep(results_days=30) == 2
    folder = first_folder = jobs.get(first.id)
    assert first_folder.result_dir is None
    assert (second.result_dir.parent / "instances" / "000001.dcm").is_file()
    assert not second.result_dir.exists()
    assert folder.state == "done"


def test_a_series_that_goes_first_leaves_the_result_to_be_fetched(finished, age, sweep, jobs):
    job = finished()
    age(31)
    assert sweep(series_days=30) == 1
    assert (jobs.get(job.id).result_dir / "rtstruct.dcm").is_file()
    assert not (job.result_dir.parent / "instances").exists()


@pytest.mark.parametrize("state", ["receiving", "queued", "running"])
def test_a_series_that_a_job_needs_stays(receive, jobs, ledger, age, sweep, files, state):
    receive()
    if state != "receiving":
        job = jobs.submit(SERIES)
    if state == "running":
        ledger.claim(job.id, "one")
    age(100)
    before = files()
    assert sweep(series_days=1, results_days=1, make_room_below_bytes=2**62, make_room_after_hours=0) == 0
    assert files() == before


@pytest.mark.parametrize(("state", "goes"), [("waiting", 0), ("sending", 0), ("failed", 2), ("delivered", 2)])
def test_what_a_delivery_needs_stays(finished, age, sweep, database, state, goes):
    finished(delivered=False)
    with database.write() as session:
        session.execute(update(DeliveryRecord).values(state=state))
    age(100)
    assert sweep(series_days=1, results_days=1) == goes


def test_a_series_sent_again_after_its_deletion_is_a_new_job(finished, age, sweep, receive, jobs):
    old = finished()
    age(31)
    sweep(series_days=30, results_days=30)
    with pytest.raises(SeriesNotFound):
        jobs.submit(SERIES)
    receive()
    new = jobs.submit(SERIES)
    assert (new.id != old.id, new.state, new.instance_count) == (True, "queued", 3)


def test_a_job_without_its_series_cannot_be_retried(receive, jobs, age, sweep):
    receive()
    job = jobs.submit(SERIES)
    jobs.cancel(job.id)
    age(31)
    assert sweep(series_days=30) == 1
    with pytest.raises(StateConflict, match="deleted"):
        jobs.retry(job.id)


def test_room_is_made_from_the_oldest_on_and_no_more_than_needed(
    finished, age, sweep, deletions, monkeypatch, settings
):
    finished(SERIES)
    age(3)
    finished(OTHER)
    age(2)
    plenty = shutil.disk_usage(settings.data_dir)
    free = iter([10, 10, 1000])
    monkeypatch.setattr(retention.shutil, "disk_usage", lambda _: plenty._replace(free=next(free)))
    sweep(make_room_below_bytes=100, make_room_after_hours=24)
    assert [(uid, each["why"]) for uid, each in deletions()] == [(SERIES, "space"), (OTHER, "space")]


def test_room_is_not_made_from_what_is_young(finished, sweep, files):
    finished()
    before = files()
    assert sweep(make_room_below_bytes=2**62, make_room_after_hours=1) == 0
    assert files() == before


def test_quarantined_instances_go_by_their_age(inbox, instance, settings, sweep, deletions):
    inbox.receive(instance(), sender="TPS", source="dicom")
    with pytest.raises(Exception, match="other content"):
        inbox.receive(instance(value=9), sender="TPS", source="dicom")
    (path,) = settings.quarantine_dir.glob("*/*.dcm")
    assert sweep(quarantine_days=1) == 0
    os.utime(path, (time.time() - 2 * DAY_S,) * 2)
    assert sweep(quarantine_days=1) == 1
    assert not path.exists()
    assert deletions() == [(None, {"kind": "quarantined", "why": "age"})]


def test_a_failed_transaction_puts_every_file_back(finished, age, sweep, files, monkeypatch):
    finished()
    age(31)
    before = files()
    real = retention.Removal.take

    def fail_at_the_third(self, path):
        if len(self.moved) == 3:
            raise OSError("disk")
        real(self, path)

    monkeypatch.setattr(retention.Removal, "take", fail_at_the_third)
    with pytest.raises(OSError, match="disk"):
        sweep(series_days=30)
    assert files() == before


@pytest.mark.parametrize("when", ["before the commit", "after the commit"])
def test_a_crash_in_between_leaves_all_or_nothing(
    finished, age, sweep, files, database, jobs, monkeypatch, when
):
    """As after kill -9: nothing of ours cleans up; the next sweep does."""
    job = finished()
    age(31)
    before = files()

    class Killed(BaseException):
        pass

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as crash:
        crash.setattr(trash.Removal, "put_back", lambda _: None)
        if when == "before the commit":
            crash.setattr(retention.audit, "record", lambda *_, **__: None)
            real = trash.Removal.take
            crash.setattr(trash.Removal, "take", lambda self, path: (real(self, path), die()))
        else:
            crash.setattr(trash.shutil, "rmtree", die)
        with pytest.raises(Killed):
            sweep(series_days=30, results_days=30)
    assert files() != before
    if when == "before the commit":
        sweep()
        assert files() == before
        with database.read() as session:
            assert len(session.scalars(select(InstanceRecord)).all()) == 3
    else:
        sweep(results_days=30)
        assert files() == []
        assert jobs.get(job.id).result_dir is None


def test_only_one_sweeps_at_a_time(finished, age, sweep, settings, files):
    finished()
    age(31)
    with only_one(settings.data_dir / "locks" / retention.LOCK_NAME):
        assert sweep(series_days=30) == 0
    assert sweep(series_days=30) == 1


def test_an_instance_that_comes_during_the_deletion_is_kept(
    finished, age, sweep, inbox, instance, monkeypatch
):
    """Its file has the same name as the one that goes: it must not go with it."""
    finished()
    age(31)
    taken = []
    real = retention.Removal.take

    def arrive_at_first(self, path):
        real(self, path)
        if not taken:
            taken.append(inbox._store(inbox._settings.inbox_dir, instance(number=1), path.stem))

    monkeypatch.setattr(retention.Removal, "take", arrive_at_first)
    sweep(series_days=30)
    assert taken[0].is_file()


def test_the_reconciler_sweeps(finished, age, settings, database, files):
    finished()
    age(31)
    given = settings.model_copy(update={"retention": RetentionSettings(series_days=1, results_days=1)})
    Reconciler(given, database)._retention.sweep_if_due()
    assert files() == []
