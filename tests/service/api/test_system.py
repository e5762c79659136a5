"""The overview for whoever runs Penumbra: what waits, who works, what went wrong."""

import time

from sqlalchemy import update

from service import counts
from service.contacts import ContactBook
from service.door import Caller
from service.figure_records import WorkerRecord
from service.records import JobEventRecord
from worker.job_folder import Outcome

PATH = "/api/v1/system"
GPU = {"index": 0, "model": "H100", "utilisation": 0.5, "memory_used_bytes": 1, "memory_total_bytes": 2}


def test_queue_workers_disk_and_troubles_are_told(ask, worker, series_zip, other_series) -> None:
    database = ask.app.state.parts.database
    failing, waiting = ask.upload(series_zip).json(), ask.upload(*other_series).json()
    claim = worker.ledger.claim(failing["id"], "gpu@a")
    with database.write() as session:
        for name, seen in (("gpu@a", time.time()), ("gpu@b", time.time() - 3600)):
            session.add(WorkerRecord(name=name, host="h", queue="gpu", seen_at=seen, devices=[GPU]))
    found = ask("GET", PATH).json()
    assert found["jobs"] == {"running": 1, "queued": 1} and found["oldest_waiting_s"] < 60
    assert [(each["lives"], each["at_work_on"]) for each in found["workers"]] == [
        (True, failing["id"]),
        (False, None),
    ]
    assert found["workers"][0]["gpus"] == [GPU]
    assert 0 < found["disk"]["free_bytes"] < found["disk"]["total_bytes"]
    assert found["troubles"] == []

    worker.ledger.publish(claim, Outcome("failed", {"code": "x", "message": "It broke.", "remedy": ""}))
    book = ContactBook(database)
    book.note(Caller(calling="EVE", called="X", address="192.0.2.9"), "not in the table")
    book.flush()
    found = ask("GET", PATH).json()
    assert [(each["kind"], each["of"], each["job_id"]) for each in found["troubles"]] == [
        ("association", "EVE", None),
        ("job", failing["id"][:8], failing["id"]),
    ]
    assert "It broke." in found["troubles"][1]["words"] and found["jobs"]["queued"] == 1
    assert waiting["id"] not in str(found)


def test_a_wait_is_long_from_the_same_second_on_for_everybody(ask, series_zip) -> None:
    ask.upload(series_zip)
    assert not ask("GET", PATH).json()["waits_long"]
    with ask.app.state.parts.database.write() as session:
        session.execute(update(JobEventRecord).values(at=time.time() - counts.LONG_WAIT_S - 1))
    assert ask("GET", PATH).json()["waits_long"]
