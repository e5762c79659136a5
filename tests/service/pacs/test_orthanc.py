"""Orthanc as a real archive: it pushes, is pulled from, takes RTSTRUCT and SEG, and commits its storage."""

import itertools
import time

import pytest
from pydicom.uid import SegmentationStorage
from sqlalchemy import select, update

from service.archive_query import ArchiveError, SeriesQuery
from service.commitment import Commitments
from service.deliveries import UnknownNode
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.pulling import Pulling
from service.pulls import NothingFound, Pulls
from service.reconciler import Reconciler
from service.records import AuditRecord, CommitmentRecord
from worker.job_folder import attempt_dir
from worker.ledger import Outcome
from worker.tasks import send_claimed

ROOT = "1.2.826.0.1.3680043.10.999.5"
_numbers = itertools.count(1)


@pytest.fixture
def series_uid():
    return f"{ROOT}.{next(_numbers)}"


@pytest.fixture
def archived(orthanc, instance, series_uid):
    """A series of five slices that the archive has and we have not."""
    orthanc.take(*(instance(series_uid, number) for number in range(1, 6)))
    return series_uid


@pytest.fixture
def pulls(settings, database):
    return Pulls(settings, database)


@pytest.fixture
def pull(settings, database, pulls):
    """Pull a series now, and say how that ended."""

    def run(series_uid, method="move", modality="CT"):
        (made,) = pulls.ask("ORTHANC", SeriesQuery(series_uid=series_uid, modality=modality), method)
        Pulling(settings, database).work()
        return pulls.get(made.id)

    return run


@pytest.fixture
def done(settings, database, receive, series_uid):
    """A job that is done, with files for the archive."""

    def make(files, settings=settings):
        receive(series_uid)
        jobs, ledger = Jobs(settings, database), SqlLedger(settings, database)
        claim = ledger.claim(jobs.submit(series_uid, sender="ORTHANC").id, "one")
        out = attempt_dir(claim.folder, claim.fence)
        out.mkdir()
        (out / "result.json").write_text("{}")
        for name, data in files.items():
            (out / name).write_bytes(data)
        assert ledger.publish(claim, Outcome("done"))
        return jobs.get(claim.job_id)

    return make


def actions(database):
    with database.read() as session:
        return session.scalars(select(AuditRecord.action)).all()


def test_what_it_pushes_becomes_a_job(listener, orthanc, archived, settings, database, jobs, eventually):
    orthanc.push(archived)
    reconciler = Reconciler(settings, database)

    def job():
        reconciler.submit_quiet_series()
        return [each for each in jobs.list().jobs if each.state == "queued"]

    (found,) = eventually(job, "a job")
    assert (found.series_instance_uid, found.sender, found.instance_count) == (archived, "ORTHANC", 5)


@pytest.mark.parametrize("method", ["move", "get"])
def test_a_pull_brings_as_many_instances_as_were_announced(listener, archived, pull, inbox, database, method):
    ended = pull(archived, method)
    assert (ended.state, ended.announced, ended.received, ended.reason) == ("done", 5, 5, None)
    records = inbox.series(archived)
    assert len(records) == 5 and {each.sender for each in records} == {"ORTHANC"}
    assert {"queried", "pull-asked", "pulled"} <= set(actions(database))


def test_less_than_was_announced_is_incomplete_and_makes_no_job(
    listener, orthanc, archived, pull, pulls, inbox, instance, settings, database, jobs, monkeypatch
):
    real = Pulling._transfer

    def lose_one(self, asked, wanted):
        orthanc.forget(archived, f"{archived}.3")
        return real(self, asked, wanted)

    monkeypatch.setattr(Pulling, "_transfer", lose_one)
    ended = pull(archived)
    assert (ended.state, ended.announced, ended.received) == ("incomplete", 5, 4)
    assert "announced 5 instances; 4 of them" in ended.reason["message"]
    Reconciler(settings, database).submit_quiet_series()
    assert [each.state for each in jobs.list().jobs] == ["receiving"]
    inbox.receive(instance(archived, 3), sender="TPS", source="dicom")
    time.sleep(settings.quiet_period_s)
    Reconciler(settings, database).submit_quiet_series()
    assert [(each.state, each.instance_count) for each in jobs.list().jobs] == [("queued", 5)]


def test_it_is_asked_for_what_it_has(listener, archived, pulls):
    (found,) = pulls.find("ORTHANC", SeriesQuery(series_uid=archived))
    assert (found.series_uid, found.modality, found.instances) == (archived, "CT", 5)
    by_patient = pulls.find("ORTHANC", SeriesQuery(patient_id="ZZPHIMARK"))
    assert archived in {each.series_uid for each in by_patient}
    assert pulls.find("ORTHANC", SeriesQuery(series_uid=archived, modality="RTSTRUCT")) == []


def test_what_cannot_be_pulled_is_told(listener, archived, pulls, settings, database):
    with pytest.raises(UnknownNode):
        pulls.ask("STRANGER", SeriesQuery(series_uid=archived))
    with pytest.raises(NothingFound):
        pulls.ask("ORTHANC", SeriesQuery(series_uid=f"{archived}.9"))
    gone = settings.nodes[0].model_copy(update={"port": 1})
    with pytest.raises(ArchiveError, match="could not be reached"):
        Pulls(settings.model_copy(update={"nodes": (gone,)}), database).find(
            "ORTHANC", SeriesQuery(series_uid=archived)
        )


def test_a_structure_set_is_kept_and_not_contoured(
    listener, orthanc, archived, rtstruct, pull, inbox, jobs, settings, database, read
):
    orthanc.take(rtstruct(archived))
    ended = pull(f"{archived}.77", modality="RTSTRUCT")
    assert (ended.state, ended.received) == ("done", 1)
    (record,) = inbox.series(f"{archived}.77")
    assert read(inbox.path(record).read_bytes()).StructureSetLabel == "EDITED"
    Reconciler(settings, database).submit_quiet_series()
    assert jobs.list().jobs == ()


def test_it_takes_the_rtstruct_and_commits_its_storage(
    listener, orthanc, done, ledger, jobs, settings, database, rtstruct, series_uid, eventually
):
    job = done({"rtstruct.dcm": rtstruct(series_uid)})
    (delivery,) = job.deliveries
    send_claimed(delivery.id, "one", ledger)
    (sent,) = jobs.get(job.id).deliveries
    assert (sent.state, sent.stored, sent.commitment) == ("delivered", 1, "waiting")
    assert orthanc.find("Series", SeriesInstanceUID=f"{series_uid}.77")
    Commitments(settings, database).work()
    eventually(lambda: jobs.get(job.id).deliveries[0].commitment == "committed", "commitment")
    assert "storage-committed" in actions(database)


def test_what_it_lost_is_not_committed_and_said(
    listener, orthanc, done, ledger, jobs, settings, database, rtstruct, series_uid, eventually
):
    job = done({"rtstruct.dcm": rtstruct(series_uid)})
    send_claimed(job.deliveries[0].id, "one", ledger)
    orthanc.forget(f"{series_uid}.77", f"{series_uid}.77.1")
    Commitments(settings, database).work()
    eventually(lambda: jobs.get(job.id).deliveries[0].commitment == "refused", "an answer")
    (seen,) = jobs.get(job.id).deliveries
    assert "does not answer for instance" in seen.commitment_note
    assert "storage-not-committed" in actions(database)


def test_it_takes_a_segmentation_beside_the_rtstruct(
    listener, orthanc, done, jobs, settings, database, rtstruct, instance, series_uid
):
    node = settings.nodes[0].model_copy(update={"objects": ("rtstruct", "seg")})
    settings = settings.model_copy(update={"nodes": (node,)})
    seg = instance(f"{series_uid}.88", SOPClassUID=SegmentationStorage, Modality="SEG")
    job = done({"rtstruct.dcm": rtstruct(series_uid), "seg-mean.dcm": seg}, settings)
    send_claimed(job.deliveries[0].id, "one", SqlLedger(settings, database))
    (sent,) = jobs.get(job.id).deliveries
    assert sent.state == "delivered"
    found = orthanc.find("Series", StudyInstanceUID="1.2.826.0.1.3680043.10.999", Modality="SEG")
    assert [each["MainDicomTags"]["SeriesInstanceUID"] for each in found] == [f"{series_uid}.88"]


def test_a_node_that_never_answers_leaves_it_unconfirmed_and_a_late_answer_counts(
    listener, done, ledger, jobs, settings, database, rtstruct, series_uid
):
    from service.commitment_request import CommitmentReport

    job = done({"rtstruct.dcm": rtstruct(series_uid)})
    send_claimed(job.deliveries[0].id, "one", ledger)
    with database.write() as session:
        session.execute(update(CommitmentRecord).values(state="asked", deadline=0.0))
    commitments = Commitments(settings, database)
    commitments.work()
    (seen,) = jobs.get(job.id).deliveries
    assert (seen.commitment, seen.commitment_note) == (
        "unconfirmed",
        "ORTHANC was asked and has not answered.",
    )
    with database.read() as session:
        uid = session.scalar(select(CommitmentRecord.transaction_uid))
    late = CommitmentReport(transaction_uid=uid, committed=frozenset({f"{series_uid}.77.1"}), failed={})
    assert commitments.note(late)
    assert jobs.get(job.id).deliveries[0].commitment == "committed"
    assert not commitments.note(late)
