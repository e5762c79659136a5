"""What a monitor reads is what happened: counted once, kept over restarts, the same from every process."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete, update
from sqlalchemy.exc import OperationalError

from service import presence
from service.database import open_database
from service.figure_records import WorkerRecord
from service.figures import ALL, INSTANCES, QUALITY_SCORES
from service.inbox import ConflictingInstance, Inbox
from service.ledger import SqlLedger
from service.metrics import Metrics
from service.overview import overview
from service.presence import GONE_AFTER_S, Presence
from service.records import JobEventRecord, JobRecord, OutboxRecord, SeriesRecord
from service.tallies import TallyBuffer, count
from worker.errors import NoTarget
from worker.ledger import Outcome

SERIES = "1.2.826.0.1.3680043.10.999.7"
RESULT = {
    "state": "done",
    "seconds": {"read": 1.5, "bladder": 7.0},
    "structures": [
        {"name": "Bladder", "quality": 0.93, "band_mm": {"mean": 4.5}},
        {"name": "CTV", "quality": 0.8, "band_mm": {"mean": None}},
    ],
    "findings": [{"code": "thick-slices", "message": "…"}],
}


@pytest.fixture
def figures(settings, database):
    """Ask as a monitor does: `figures("name", label="value")`; None where there is no such sample."""

    def ask(name, **labels):
        text = Metrics(settings, database).text().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    return ask


@pytest.fixture
def finish(ledger, settings):
    """Claim a job and publish it with a result."""

    def publish(job_id, outcome=None, document=RESULT):
        claim = ledger.claim(job_id, "one")
        attempt = claim.folder / f"attempt-{claim.fence}"
        attempt.mkdir()
        (attempt / "result.json").write_text(json.dumps(document))
        (attempt / "rtstruct.dcm").write_bytes(b"x")
        assert ledger.publish(claim, outcome or Outcome("done"))

    return publish


def test_instances_are_counted_by_what_became_of_them(inbox, instance, figures):
    inbox.receive(instance(), sender="TPS", source="dicom")
    inbox.receive(instance(), sender="TPS", source="dicom")
    inbox.receive(instance(number=2), sender="TPS", source="rest")
    with pytest.raises(ConflictingInstance):
        inbox.receive(instance(value=9), sender="TPS", source="dicom")
    inbox.tallies.flush()
    offered = [
        figures("penumbra_instances_total", source=source, outcome=outcome)
        for source, outcome in [
            ("dicom", "stored"),
            ("dicom", "duplicate"),
            ("dicom", "conflicting-instance"),
            ("rest", "stored"),
        ]
    ]
    assert offered == [1, 1, 1, 1]
    assert figures("penumbra_received_bytes_total", source="dicom") == len(instance())
    assert figures("penumbra_series_arriving") == 1


def test_what_is_counted_is_written_soon_without_being_asked(
    settings, database, instance, figures, monkeypatch
):
    monkeypatch.setattr("service.tallies.FLUSH_S", 0.05)
    inbox = Inbox(settings, database)
    inbox.receive(instance(), sender="TPS", source="dicom")
    timer = inbox.tallies._timer
    timer.join(10)
    assert figures("penumbra_instances_total", source="dicom", outcome="stored") == 1


def test_counts_survive_a_database_that_is_away_for_a_while(database, settings, figures, monkeypatch):
    buffer = TallyBuffer(database)
    buffer.count(INSTANCES, "dicom", "stored", amount=3)
    with monkeypatch.context() as away:
        away.setattr(database, "write", lambda: (_ for _ in ()).throw(OperationalError("", {}, Exception())))
        buffer.flush()
    buffer.count(INSTANCES, "dicom", "stored")
    buffer.flush()
    assert figures("penumbra_instances_total", source="dicom", outcome="stored") == 4


def test_a_finished_job_tells_times_quality_band_and_findings(receive, jobs, finish, figures):
    receive()
    finish(jobs.submit(SERIES).id)
    assert figures("penumbra_jobs_ended_total", state="done", reason="none") == 1
    assert figures("penumbra_stage_seconds_sum", stage="bladder") == 7
    assert figures("penumbra_job_seconds_sum") == 8.5
    assert figures("penumbra_turnaround_seconds_count") == 1
    assert figures("penumbra_quality_bucket", structure="Bladder", le="0.925") == 0
    assert figures("penumbra_quality_bucket", structure="Bladder", le="0.95") == 1
    assert figures("penumbra_quality_bucket", structure="Bladder", le="+Inf") == 1
    assert figures("penumbra_band_mm_sum", structure="Bladder") == 4.5
    assert figures("penumbra_band_mm_count", structure="CTV") is None
    assert figures("penumbra_findings_total", code="thick-slices") == 1


def test_a_job_that_ends_otherwise_is_counted_with_its_reason(receive, jobs, finish, figures):
    receive()
    finish(jobs.submit(SERIES).id, Outcome("rejected", NoTarget().as_reason()), {"state": "rejected"})
    assert figures("penumbra_jobs_ended_total", state="rejected", reason="no-target") == 1
    assert figures("penumbra_job_seconds_count") is None


def test_a_damaged_result_does_not_keep_a_job_from_ending(receive, jobs, ledger, finish, figures):
    receive()
    job = jobs.submit(SERIES)
    finish(job.id, document=["no", "object"])
    assert jobs.get(job.id).state == "done"
    assert figures("penumbra_jobs_ended_total", state="done", reason="none") == 1


def test_deliveries_are_counted_by_node_and_outcome(receive, jobs, finish, ledger, figures):
    receive()
    job = jobs.submit(SERIES)
    finish(job.id)
    (delivery,) = jobs.get(job.id).deliveries
    assert figures("penumbra_deliveries_waiting", node="TPS") == 1
    ledger.undelivered(ledger.claim_delivery(delivery.id, "one"), "refused")
    ledger.delivered(ledger.claim_delivery(delivery.id, "one"))
    assert figures("penumbra_delivery_tries_total", node="TPS", outcome="not taken") == 1
    assert figures("penumbra_delivery_tries_total", node="TPS", outcome="taken") == 1
    assert figures("penumbra_delivery_seconds_count", node="TPS") == 1
    assert figures("penumbra_deliveries_waiting", node="TPS") is None


def test_queue_and_outbox_show_how_long_something_waits(receive, jobs, database, figures, settings):
    receive()
    job = jobs.submit(SERIES)
    with database.write() as session:
        session.execute(update(JobRecord).values(created_at=JobRecord.created_at - 5000))  # tried again since
        session.execute(update(JobEventRecord).values(at=JobEventRecord.at - 100))
        session.execute(update(OutboxRecord).values(not_before=OutboxRecord.not_before - 50))
    assert figures("penumbra_outbox_waiting") == 1
    assert figures("penumbra_outbox_oldest_seconds") == pytest.approx(50, abs=20)
    jobs.set_priority(job.id, 0)  # which is a change, but begins no new wait
    assert figures("penumbra_queue_oldest_seconds") == pytest.approx(100, abs=20)
    assert overview(settings, database).oldest_waiting_s == pytest.approx(100, abs=20)  # the page's
    with database.write() as session:
        session.execute(delete(JobEventRecord))  # as they are after some days
    assert figures("penumbra_queue_oldest_seconds") < 50


def test_a_job_that_is_done_waits_no_more_however_old_its_events(receive, jobs, database, finish, figures):
    receive()
    finish(jobs.submit(SERIES).id)
    with database.write() as session:
        session.execute(update(JobEventRecord).values(at=JobEventRecord.at - 5000))
    assert figures("penumbra_queue_oldest_seconds") == 0
    jobs.submit(receive(f"{SERIES}.1"))
    assert figures("penumbra_queue_oldest_seconds") < 1000


def test_living_workers_and_their_gpus_are_shown_and_dead_ones_are_not(database, figures, monkeypatch):
    gpu = {
        "index": 0,
        "model": "H100",
        "driver": "590",
        "utilisation": 0.5,
        "memory_used_bytes": 2**30,
        "memory_total_bytes": 2**36,
        "temperature_c": 60,
    }
    monkeypatch.setattr(presence, "read_gpus", lambda: [gpu])
    monkeypatch.setattr(presence.socket, "gethostname", lambda: "gpu1")
    Presence(database, "gpu1-gpu-1", "gpu").show()
    Presence(database, "gpu1-gpu-1", "gpu").show()
    assert figures("penumbra_workers", queue="gpu") == 1
    assert figures("penumbra_workers", queue="delivery") == 0
    assert figures("penumbra_gpu_utilisation_ratio", host="gpu1", gpu="0", model="H100") == 0.5
    with database.write() as session:
        session.execute(update(WorkerRecord).values(seen_at=WorkerRecord.seen_at - GONE_AFTER_S - 1))
    assert figures("penumbra_workers", queue="gpu") == 0
    assert figures("penumbra_gpu_utilisation_ratio", host="gpu1", gpu="0", model="H100") is None


def test_figures_are_the_same_from_another_process_and_after_a_restart(settings, database, figures):
    with database.write() as session:
        count(session, INSTANCES, "rest", "stored", amount=7)
    other = open_database(settings)
    text = Metrics(settings, other).text().decode()
    other.dispose()
    assert 'penumbra_instances_total{outcome="stored",source="rest"} 7.0' in text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_database_the_disk_is_still_told(settings, database, figures):
    database.dispose()
    (settings.data_dir / "penumbra.sqlite").write_bytes(b"no database" * 1000)
    assert figures("penumbra_database_up") == 0
    assert figures("penumbra_disk_free_bytes") > 0
    assert figures("penumbra_disk_reserve_bytes") == settings.min_free_bytes


def test_names_follow_prometheus(settings, database):
    """Base units, no doubled names; each figure has a help text."""
    names = [figure.name for figure in ALL]
    assert len(set(names)) == len(names)
    assert all(name.startswith("penumbra_") and not name.endswith("_total") for name in names)
    assert all(figure.help.endswith(".") for figure in ALL)
    assert list(QUALITY_SCORES.buckets) == sorted(QUALITY_SCORES.buckets)


def test_a_ledger_with_another_clock_never_gives_negative_seconds(receive, jobs, settings, database, figures):
    receive()
    job = jobs.submit(SERIES)
    with database.write() as session:
        session.execute(update(SeriesRecord).values(last_received_at=SeriesRecord.last_received_at + 1e6))
    ledger = SqlLedger(settings, database)
    claim = ledger.claim(job.id, "one")
    attempt = claim.folder / f"attempt-{claim.fence}"
    attempt.mkdir()
    (attempt / "result.json").write_text("{}")
    assert ledger.publish(claim, Outcome("done"))
    assert figures("penumbra_turnaround_seconds_sum") == 0
