import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DataError, OperationalError

from service.database import open_database
from service.inbox import Inbox
from service.instance_header import read_header
from service.instance_register import Arrival, InstanceRegister, Known
from service.records import InstanceRecord, JobRecord, SeriesRecord

FIRST, SECOND = "1.2.826.0.1.3680043.10.999.7", "1.2.826.0.1.3680043.10.999.8"


@pytest.fixture
def register(settings, database):
    return InstanceRegister(settings, database)


@pytest.fixture
def arrival(instance):
    def make(series_uid=FIRST, number=1, *, path=None):
        header = read_header(instance(series_uid, number))
        return Arrival(header=header, path=path or f"{number}", size_bytes=1000, sender="TPS", source="dicom")

    return make


class Held:
    """Holds the database so that arrivals pile up, and counts the transactions that register them."""

    def __init__(self, register, monkeypatch):
        self.register, self.batches = register, []
        commit = register._commit

        def counted(waiting):
            self.batches.append(len(waiting))
            commit(waiting)

        monkeypatch.setattr(register, "_commit", counted)

    def add_all(self, arrivals):
        """Each arrival in a thread of its own, all waiting at the same time."""
        with ThreadPoolExecutor(len(arrivals)) as pool:
            with self.register._turn:
                futures = [pool.submit(self._outcome, each) for each in arrivals]
                while len(self.register._waiting) < len(arrivals):
                    threading.Event().wait(0.005)
            return [future.result(20) for future in futures]

    def _outcome(self, arrival):
        try:
            return self.register.add(arrival)
        except (DataError, OperationalError) as error:
            return error


@pytest.fixture
def held(register, monkeypatch):
    return Held(register, monkeypatch)


def test_arrivals_that_wait_share_one_commit_and_are_counted_in_their_own_series(held, arrival, database):
    arrivals = [arrival(uid, number) for number in range(1, 5) for uid in (FIRST, SECOND)]
    assert held.add_all(arrivals) == [None] * 8
    assert held.batches == [8]
    with database.read() as session:
        assert {s.series_uid: s.instance_count for s in session.scalars(select(SeriesRecord))} == {
            FIRST: 4,
            SECOND: 4,
        }
        assert sorted((j.series_uid, j.instance_count) for j in session.scalars(select(JobRecord))) == [
            (FIRST, 4),
            (SECOND, 4),
        ]
        assert len(session.scalars(select(InstanceRecord)).all()) == 8


def test_registered_instance_is_committed_before_its_sender_is_answered(register, arrival, database):
    for number in range(1, 4):
        assert register.add(arrival(number=number)) is None
        with database.read() as session:
            assert session.get_one(SeriesRecord, FIRST).instance_count == number


def test_same_instance_waiting_twice_is_registered_once(held, arrival, database):
    outcomes = held.add_all([arrival(path="a"), arrival(path="b")])
    assert outcomes.count(None) == 1
    assert held.batches == [2]
    (known,) = [each for each in outcomes if each is not None]
    with database.read() as session:
        record = session.get_one(InstanceRecord, known.sop_uid)
        assert known == Known(record.sop_uid, record.sha256, record.path)
        assert session.get_one(SeriesRecord, FIRST).instance_count == 1


def test_one_that_cannot_be_registered_does_not_spoil_the_others(held, arrival, database, monkeypatch):
    import service.instance_register as module

    row = module._instance_row

    def spoiled(arrival, now):
        if arrival.path == "bad":
            raise DataError("INSERT", {}, ValueError("no such value"))
        return row(arrival, now)

    monkeypatch.setattr(module, "_instance_row", spoiled)
    outcomes = held.add_all([arrival(number=1), arrival(number=2, path="bad"), arrival(number=3)])
    assert [isinstance(each, DataError) for each in outcomes] == [False, True, False]
    with database.read() as session:
        assert session.get_one(SeriesRecord, FIRST).instance_count == 2


def test_a_new_database_takes_several_senders_at_once(settings, instance):
    """Made, opened and written to in one process, as a listener does that starts on an empty folder."""
    inbox = Inbox(settings, open_database(settings))

    def send(series_uid):
        for number in range(1, 11):
            inbox.receive(instance(series_uid, number), sender="TPS", source="dicom")

    uids = [f"{FIRST}.{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, uids))
    assert [len(inbox.series(uid)) for uid in uids] == [10, 10, 10, 10]


def test_all_that_wait_are_told_when_the_database_cannot_be_reached(held, arrival, database, monkeypatch):
    def unreachable(*_):
        raise OperationalError("BEGIN", {}, OSError("database is locked"))

    monkeypatch.setattr(database, "write_rows", unreachable)
    outcomes = held.add_all([arrival(number=1), arrival(number=2)])
    assert all(isinstance(each, OperationalError) for each in outcomes)
    assert held.batches == [2]
    monkeypatch.undo()
    assert held.register.add(arrival(number=1)) is None
