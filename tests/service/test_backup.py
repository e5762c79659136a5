"""A restored database neither loses nor doubles a job, whatever happened since the backup."""

import json
import os
import shutil
import time

import pytest
from sqlalchemy import select, update

from service import backup
from service.audit import Action
from service.audit_chain import verify
from service.backup import DATABASE_NAMES, BackupFailed, back_up, read_manifest
from service.database import open_database
from service.figure_records import WorkerRecord
from service.file_lock import only_one
from service.inbox import Inbox
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.reconciler import Reconciler
from service.records import AuditRecord, JobRecord, OutboxRecord
from service.restore import NotEmpty, StillRunning, recover, restore
from worker.ledger import Outcome, ProgressReport

FIRST, SECOND, THIRD = (f"1.2.826.0.1.3680043.10.999.{number}" for number in (7, 8, 9))


class Site:
    """One Penumbra without processes: what its parts do is done by hand."""

    def __init__(self, settings, make_instance):
        self.settings = settings
        self.make_instance = make_instance
        self.open()

    def open(self):
        self.database = open_database(self.settings)
        self.jobs = Jobs(self.settings, self.database)
        self.ledger = SqlLedger(self.settings, self.database)
        self.inbox = Inbox(self.settings, self.database)

    def receive(self, series_uid, slices=3):
        for number in range(1, slices + 1):
            self.inbox.receive(self.make_instance(series_uid, number), sender="TPS", source="dicom")

    def submit(self, series_uid):
        self.receive(series_uid)
        return self.jobs.submit(series_uid)

    def claim(self, job):
        claim = self.ledger.claim(job.id, "one")
        (claim.folder / f"attempt-{claim.fence}").mkdir(exist_ok=True)
        return claim

    def finish(self, claim, state="done"):
        attempt = claim.folder / f"attempt-{claim.fence}"
        (attempt / "result.json").write_text(json.dumps({"state": state}))
        (attempt / "rtstruct.dcm").write_bytes(b"x")
        return self.ledger.publish(claim, Outcome(state))

    def states(self):
        return {job.series_instance_uid: job.state for job in self.jobs.list().jobs}

    def rung(self):
        with self.database.read() as session:
            return list(session.scalars(select(OutboxRecord.ref).where(OutboxRecord.done_at.is_(None))))

    def lose_database(self):
        if self.settings.database_url is not None:
            with self.database.engine.begin() as connection:
                connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self.database.dispose()
        for path in self.settings.data_dir.glob("penumbra.sqlite*"):
            path.unlink()

    def lose_everything(self):
        self.lose_database()
        shutil.rmtree(self.settings.data_dir)

    def saved_database(self, folder):
        return folder / DATABASE_NAMES[read_manifest(folder).kind]

    def restore(self, folder, **options):
        self.database.dispose()
        found = restore(self.settings, folder, **options)
        self.open()
        return found


@pytest.fixture
def site(settings, database, instance):
    site = Site(settings, instance)
    yield site
    site.database.dispose()
    open_database(settings).dispose()  # what a test lost, others find again


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backup"


@pytest.mark.both_databases
def test_after_a_lost_disk_all_is_as_it_was_at_the_backup(site, folder):
    done, queued = site.submit(FIRST), site.submit(SECOND)
    site.finish(site.claim(done))
    site.receive(THIRD)
    back_up(site.settings, folder)
    site.lose_everything()
    _, files, found = site.restore(folder)
    assert site.states() == {FIRST: "done", SECOND: "queued", THIRD: "receiving"}
    assert (site.jobs.get(done.id).result_dir / "rtstruct.dcm").read_bytes() == b"x"
    assert files > 0
    assert (found.instances, found.jobs, found.results, found.missing_files) == (0, 0, 0, 0)
    assert queued.id in site.rung()
    assert site.finish(site.claim(queued))


@pytest.mark.both_databases
def test_what_came_after_the_backup_is_taken_up_from_the_data_folder(site, folder):
    """The database is a day old, the disk is not: nothing that was accepted is lost, nothing runs twice."""
    site.submit(FIRST)
    back_up(site.settings, folder)
    finished, running = site.submit(SECOND), site.submit(THIRD)
    site.finish(site.claim(finished))
    zombie = site.claim(running)
    site.receive(f"{THIRD}.4")
    site.lose_database()
    _, _, found = site.restore(folder)
    assert (found.instances, found.jobs, found.results) == (9, 2, 1)
    assert site.states() == {FIRST: "queued", SECOND: "done", THIRD: "queued", f"{THIRD}.4": "receiving"}
    assert len(site.jobs.list().jobs) == 4
    again = site.jobs.get(finished.id)
    assert (again.sender, again.result_dir is not None, [d.node for d in again.deliveries]) == (
        "TPS",
        True,
        ["TPS"],
    )
    assert not site.finish(zombie), "a worker of the time before may not publish"
    assert site.finish(site.claim(site.jobs.get(running.id)))


def test_a_series_sent_again_after_the_restoration_is_the_same_job(site, folder):
    back_up(site.settings, folder)
    job = site.submit(FIRST)
    site.lose_database()
    site.restore(folder)
    assert site.submit(FIRST).id == job.id
    assert len(site.jobs.list().jobs) == 1
    time.sleep(site.settings.quiet_period_s * 1.5)
    Reconciler(site.settings, site.database).submit_quiet_series()
    assert len(site.jobs.list().jobs) == 1


def test_a_job_that_was_running_then_and_ended_since_is_not_run_again(site, folder):
    job = site.submit(FIRST)
    claim = site.claim(job)
    site.ledger.renew(claim, ProgressReport(stage="bladder", percent=10.0))
    back_up(site.settings, folder)
    site.finish(claim)
    site.lose_database()
    _, _, found = site.restore(folder)
    assert (site.states(), found.results, found.requeued) == ({FIRST: "done"}, 1, 0)


def test_an_old_result_of_a_job_that_is_retried_does_not_end_it(site, folder):
    job = site.submit(FIRST)
    site.finish(site.claim(job), state="failed")
    result = site.jobs.get(job.id).result_dir / "result.json"
    os.utime(result, (time.time() - 100,) * 2)
    site.jobs.retry(job.id)
    back_up(site.settings, folder)
    site.lose_database()
    _, _, found = site.restore(folder)
    assert (site.states(), found.results, found.requeued) == ({FIRST: "queued"}, 0, 1)


def test_a_cancelled_job_that_ran_at_the_backup_stays_cancelled(site, folder):
    job = site.submit(FIRST)
    site.claim(job)
    site.jobs.cancel(job.id)
    back_up(site.settings, folder)
    site.lose_database()
    site.restore(folder)
    assert site.states() == {FIRST: "cancelled"}


def test_a_revised_series_keeps_its_newest_job(site, folder):
    back_up(site.settings, folder)
    old = site.submit(FIRST)
    site.receive(FIRST, slices=5)
    new = site.jobs.submit(FIRST)
    request = site.settings.jobs_dir / new.id / "request.json"
    os.utime(request, (time.time() + 10,) * 2)
    site.lose_database()
    site.restore(folder)
    assert site.jobs.get(old.id).superseded_by == new.id
    assert site.jobs.get(new.id).instance_count == 5
    assert [job.state for job in site.jobs.list().jobs] == ["queued", "cancelled"]


def test_a_re_run_stays_beside_the_job_it_repeats_and_goes_to_nobody(site, folder):
    back_up(site.settings, folder)
    first = site.submit(FIRST)
    site.finish(site.claim(first))
    again = site.jobs.rerun(first.id, passes=7)
    site.finish(site.claim(again))
    site.lose_database()
    site.restore(folder)
    first, again = site.jobs.get(first.id), site.jobs.get(again.id)
    assert (first.superseded_by, again.superseded_by) == (None, None)
    assert (first.revision, again.revision, again.passes) == (1, 1, 7)
    assert ([d.node for d in first.deliveries], again.deliveries) == (["TPS"], ())


def test_without_any_backup_the_data_folder_alone_brings_the_jobs_back(site):
    done, queued = site.submit(FIRST), site.submit(SECOND)
    site.finish(site.claim(done))
    site.lose_database()
    found = recover(site.settings)
    site.open()
    assert (found.instances, found.jobs, found.results) == (6, 2, 1)
    assert site.states() == {FIRST: "done", SECOND: "queued"}
    assert {job.id for job in site.jobs.list().jobs} == {done.id, queued.id}


def test_missing_files_are_counted(site, folder):
    site.submit(FIRST)
    back_up(site.settings, folder, with_files=False)
    site.lose_everything()
    assert site.restore(folder)[2].missing_files == 3


def test_the_same_folder_again_adds_what_is_new(site, folder, monkeypatch):
    site.submit(FIRST)
    first = back_up(site.settings, folder)
    site.submit(SECOND)
    copied = []
    real = backup._link_or_copy
    monkeypatch.setattr(
        backup, "_link_or_copy", lambda *a, **k: (copied.append(a[0]), real(*a, **k)) and None
    )
    second = back_up(site.settings, folder)
    assert (first.files, second.files, len(copied)) == (7, 14, 7)
    site.lose_everything()
    site.restore(folder)
    assert site.states() == {FIRST: "queued", SECOND: "queued"}


def test_files_on_another_file_system_are_copied(site, folder, monkeypatch):
    site.submit(FIRST)

    def cannot(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("pathlib.Path.hardlink_to", cannot)
    back_up(site.settings, folder)
    monkeypatch.undo()
    site.lose_everything()
    assert site.restore(folder)[2].missing_files == 0


@pytest.mark.both_databases
def test_a_backup_that_was_cut_off_or_changed_is_refused(site, folder):
    site.submit(FIRST)
    back_up(site.settings, folder)
    with site.saved_database(folder).open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"changed")
    with pytest.raises(BackupFailed, match="changed"):
        read_manifest(folder)
    (folder / "backup.json").unlink()
    with pytest.raises(BackupFailed, match="no whole backup"):
        site.restore(folder, replace=True)
    site.open()
    assert site.states() == {FIRST: "queued"}


def test_a_backup_that_fails_leaves_no_manifest(site, folder, monkeypatch):
    site.submit(FIRST)
    back_up(site.settings, folder)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_save_files", full)
    with pytest.raises(BackupFailed, match="No space"):
        back_up(site.settings, folder)
    with pytest.raises(BackupFailed, match="no whole backup"):
        read_manifest(folder)


def test_jobs_are_not_replaced_unasked(site, folder):
    back_up(site.settings, folder)
    site.submit(FIRST)
    with pytest.raises(NotEmpty, match="1 jobs"):
        site.restore(folder)
    site.open()
    site.restore(folder, replace=True)
    assert site.states() == {FIRST: "queued"}, "the data folder still knows it"


def test_nothing_is_restored_under_a_running_system(site, folder):
    back_up(site.settings, folder)
    with only_one(site.settings.data_dir / ".serve.lock"), pytest.raises(StillRunning):
        site.restore(folder)
    site.open()
    with site.database.write() as session:
        session.add(WorkerRecord(name="w", host="h", queue="gpu", seen_at=time.time(), devices=[]))
    with pytest.raises(StillRunning, match="1 workers"):
        site.restore(folder, replace=True)


def test_retention_waits_while_a_backup_is_made(site, folder, monkeypatch):
    from service.retention import Retention
    from service.retention_settings import RetentionSettings

    site.submit(FIRST)
    with site.database.write() as session:
        session.execute(update(JobRecord).values(state="failed", updated_at=0.0))
    swept = []
    real = backup._save_files

    def sweep_meanwhile(*given):
        rules = site.settings.model_copy(update={"retention": RetentionSettings(series_days=1e-9)})
        swept.append(Retention(rules, site.database).sweep())
        return real(*given)

    monkeypatch.setattr(backup, "_save_files", sweep_meanwhile)
    assert back_up(site.settings, folder).files == 7
    assert swept == [0]


@pytest.mark.both_databases
def test_both_are_audited_and_the_chain_holds(site, folder):
    site.submit(FIRST)
    back_up(site.settings, folder)
    site.lose_database()
    site.restore(folder)
    with site.database.read() as session:
        actions = session.scalars(select(AuditRecord.action).order_by(AuditRecord.seq)).all()
        assert verify(session, []).is_whole
    assert [a for a in actions if a in {Action.BACKED_UP, Action.RESTORED}] == ["backed-up", "restored"]


@pytest.mark.both_databases
def test_nobody_else_may_read_a_backup(site, folder):
    site.submit(FIRST)
    back_up(site.settings, folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert site.saved_database(folder).stat().st_mode & 0o077 == 0
