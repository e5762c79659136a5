"""Requests of storage commitment are taken one by one: a node that is slow to take its own holds no other's."""

import time
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update

from service import commitment
from service.commitment import Commitments
from service.records import CommitmentRecord, DeliveryRecord, JobRecord
from worker.delivery import DeliveryError


@pytest.fixture
def due(database, receive):
    """A request to TPS, and a later one to ARCHIVE, of the same result."""
    receive()
    now = time.time()
    with database.write() as session:
        job_id = session.scalar(select(JobRecord.id))
        for number, node in enumerate(("TPS", "ARCHIVE")):
            times = {"created_at": now, "updated_at": now}
            objects = [["1.2.840.10008.5.1.4.1.1.481.3", "1.2.3.4"]]
            session.add(
                DeliveryRecord(id=node, job_id=job_id, node=node, state="delivered", objects=objects, **times)
            )
            session.flush()
            session.add(
                CommitmentRecord(
                    transaction_uid=f"1.2.3.{number}",
                    delivery_id=node,
                    node=node,
                    state="waiting",
                    next_at=now - 9 + number,
                    deadline=now + 900,
                    **times,
                )
            )


def states(database):
    with database.read() as session:
        return {row.node: (row.state, row.attempts) for row in session.scalars(select(CommitmentRecord))}


def test_another_host_asks_the_others_while_one_node_is_slow(settings, database, due, monkeypatch):
    asked = []

    def ask(request, *, on_report):
        asked.append(request.node.ae_title)
        if request.node.ae_title == "TPS":
            Commitments(settings, database).work()  # of another host, meanwhile
            asked.append("TPS took it")

    monkeypatch.setattr(commitment, "ask", ask)
    Commitments(settings, database).work()
    assert asked == ["TPS", "ARCHIVE", "TPS took it"]
    assert states(database) == {"TPS": ("asked", 1), "ARCHIVE": ("asked", 1)}


@pytest.fixture
def unreachable(monkeypatch):
    """Nodes that need 100 s to fail, by a clock of their own; whom they were asked for."""
    asked, clock = [], SimpleNamespace(now=time.time())

    def ask(request, *, on_report):
        asked.append(request.node.ae_title)
        assert len(asked) < 99, "it asks and asks"
        clock.now += 100.0
        raise DeliveryError("Nobody answers.")

    monkeypatch.setattr(commitment, "ask", ask)
    monkeypatch.setattr(commitment, "time", SimpleNamespace(time=lambda: clock.now))
    return asked


def test_nodes_slower_to_fail_than_the_next_try_are_asked_once_a_pass(settings, database, due, unreachable):
    assert settings.pacs.commitment_retry_s < 100.0
    Commitments(settings, database).work()
    assert unreachable == ["TPS", "ARCHIVE"]
    assert states(database) == {"TPS": ("waiting", 1), "ARCHIVE": ("waiting", 1)}


def test_whose_time_is_over_is_not_asked_any_more_but_given_up(settings, database, due, unreachable):
    with database.write() as session:
        session.execute(update(CommitmentRecord).values(deadline=time.time() + 50.0))
    Commitments(settings, database).work()
    assert unreachable == ["TPS"]
    assert states(database) == {"TPS": ("unconfirmed", 1), "ARCHIVE": ("unconfirmed", 0)}


def test_some_are_given_up_though_another_cannot_be_asked_at_all(settings, database, due, monkeypatch):
    def ask(request, *, on_report):
        raise RuntimeError

    with database.write() as session:
        session.get(CommitmentRecord, "1.2.3.1").deadline = time.time() - 1
    monkeypatch.setattr(commitment, "ask", ask)
    with pytest.raises(RuntimeError):
        Commitments(settings, database).work()
    assert states(database) == {"TPS": ("waiting", 1), "ARCHIVE": ("unconfirmed", 0)}
