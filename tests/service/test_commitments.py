"""Requests of storage commitment are taken one by one: a node that is slow to take its own holds no other's."""

import time

import pytest
from sqlalchemy import select

from service import commitment
from service.commitment import Commitments
from service.records import CommitmentRecord, DeliveryRecord, JobRecord


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
