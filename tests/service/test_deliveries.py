"""What becomes of a delivery: fallbacks in order, remarks, sending again by hand."""

import time

import pytest
from sqlalchemy import select, update

from service.deliveries import Deliveries, DeliveryNotFound, UnknownNode
from service.delivery_steps import next_step
from service.jobs import JobNotFound, StateConflict
from service.ledger import SqlLedger
from service.pacs_settings import PacsSettings
from service.records import AuditRecord, JobRecord, OutboxRecord
from service.retention import Expired
from service.settings import NodeSettings, ServiceSettings
from worker.job_folder import attempt_dir
from worker.ledger import Outcome, Sent

SERIES = "1.2.826.0.1.3680043.10.999.7"
ORDER = ("TPS", "SECOND", "THIRD")


@pytest.fixture
def settings(settings):
    """TPS has two fallbacks, which are turned to after two attempts; ten rounds."""
    tps, archive = settings.nodes
    nodes = [tps.model_copy(update={"fallbacks": ("SECOND", "THIRD")}), archive]
    nodes += [NodeSettings(ae_title=name, host="127.0.0.1", port=3) for name in ORDER[1:]]
    return settings.model_copy(
        update={
            "nodes": tuple(nodes),
            "pacs": PacsSettings(fallback_after=2),
            "delivery_attempts": 4,
            "delivery_pauses_s": (10.0, 20.0, 30.0),
        }
    )


@pytest.fixture
def front(settings, database):
    return Deliveries(settings, database)


@pytest.fixture
def done(settings, database, receive, jobs):
    """A job that is done, with one delivery to TPS."""
    receive()
    ledger = SqlLedger(settings, database)
    claim = ledger.claim(jobs.submit(SERIES).id, "one")
    out = attempt_dir(claim.folder, claim.fence)
    out.mkdir()
    for name in ("result.json", "rtstruct.dcm"):
        (out / name).write_text("x")
    assert ledger.publish(claim, Outcome("done"))
    return claim.job_id


def sent(number, *, stored=True, remark=""):
    return Sent(sop_instance_uid=f"1.{number}", sop_class_uid="1.9", status=0, remark=remark, stored=stored)


def walk(settings, order):
    """The nodes of all attempts that fail one after the other, and the pauses before them."""
    target, nodes, pauses = order[0], [order[0]], []
    while (step := next_step(len(nodes), target, order, settings)) is not None:
        target = step.target
        nodes.append(target)
        pauses.append(step.pause_s)
    return nodes, pauses


def test_fallbacks_are_turned_to_in_order_and_each_round_begins_with_the_node(settings):
    nodes, pauses = walk(settings, ORDER)
    assert nodes == ["TPS", *ORDER, *ORDER, *ORDER]
    assert pauses == [10.0, 0, 0, 20.0, 0, 0, 30.0, 0, 0]


def test_without_fallbacks_a_node_gets_all_attempts(settings):
    assert walk(settings, ["ARCHIVE"]) == (["ARCHIVE"] * 4, [10.0, 20.0, 30.0])


def test_a_fallback_that_is_no_longer_defined_ends_its_round(settings):
    assert next_step(3, "GONE", ORDER, settings).target == "TPS"


def test_what_a_fallback_took_is_delivered_and_says_for_whom(settings, database, done, jobs, front):
    ledger = SqlLedger(settings, database)
    (found,) = front.list()
    asked = []
    for _ in range(3):
        claim = ledger.claim_delivery(found.delivery.id, "one")
        asked.append((claim.ae_title, claim.port))
        if claim.ae_title == "TPS":
            ledger.undelivered(claim, "TPS could not be reached.")
    assert asked == [("TPS", 1), ("TPS", 1), ("SECOND", 3)]
    assert ledger.delivered(claim, [sent(1), sent(2, stored=False, remark="It takes no SEG.")])
    (seen,) = jobs.get(done).deliveries
    assert (seen.node, seen.target, seen.state, seen.stored) == ("TPS", "SECOND", "delivered", 1)
    assert seen.remarks == ("TPS did not take it, so it went to SECOND.", "It takes no SEG.")
    assert seen.last_error is None


def test_a_delivery_worker_that_dies_counts_as_a_failed_attempt(settings, database, done, front):
    from service.reconciler import Reconciler

    short = settings.model_copy(update={"delivery_lease_s": 0.01})
    (found,) = front.list()
    SqlLedger(short, database).claim_delivery(found.delivery.id, "one")
    time.sleep(0.05)
    Reconciler(short, database).release_expired()
    (seen,) = front.list()
    assert (seen.delivery.state, seen.delivery.last_error) == ("waiting", "The delivery worker was lost.")


def test_a_delivery_is_sent_again_by_hand_whatever_became_of_it(settings, database, done, front):
    ledger = SqlLedger(settings, database)
    (found,) = front.list(state="waiting")
    claim = ledger.claim_delivery(found.delivery.id, "one")
    with pytest.raises(StateConflict, match="being sent"):
        front.send_again(found.delivery.id)
    ledger.delivered(claim, [sent(1, remark="It changed values.")])
    again = front.send_again(found.delivery.id)
    assert (again.delivery.state, again.delivery.attempts, again.delivery.remarks) == ("waiting", 0, ())
    with database.read() as session:
        rung = session.scalars(select(OutboxRecord.ref).where(OutboxRecord.kind == "deliver")).all()
        told = session.execute(select(AuditRecord.action, AuditRecord.subject, AuditRecord.series_uid)).all()
    assert rung == [found.delivery.id] * 2
    mine = [each for each in told if each.action in {"delivered", "resend-asked"}]
    assert mine == [("delivered", "TPS", SERIES), ("resend-asked", "TPS", SERIES)]
    assert ledger.claim_delivery(found.delivery.id, "one") is not None


def test_a_result_goes_to_any_known_node_once_per_request(done, front):
    first = front.send(done, "ARCHIVE")
    assert (first.delivery.node, first.delivery.state) == ("ARCHIVE", "waiting")
    assert front.send(done, "ARCHIVE").delivery.id == first.delivery.id
    assert {each.delivery.node for each in front.list(job_id=done)} == {"TPS", "ARCHIVE"}
    assert [each.delivery.node for each in front.list(node="ARCHIVE")] == ["ARCHIVE"]


def test_what_cannot_be_sent_is_told(done, front, jobs, receive):
    with pytest.raises(UnknownNode):
        front.send(done, "STRANGER")
    with pytest.raises(JobNotFound):
        front.send("x", "TPS")
    with pytest.raises(DeliveryNotFound):
        front.send_again("x")
    receive("1.2.826.0.1.3680043.10.999.8")
    waiting = jobs.submit("1.2.826.0.1.3680043.10.999.8")
    with pytest.raises(StateConflict, match="queued"):
        front.send(waiting.id, "TPS")


def test_a_result_that_was_deleted_is_not_sent_again(done, front, database):
    with database.write() as session:
        session.execute(update(JobRecord).values(has_result=False))
    (found,) = front.list()
    with pytest.raises(Expired):
        front.send_again(found.delivery.id)
    with pytest.raises(Expired):
        front.send(done, "ARCHIVE")


def test_a_fallback_must_be_a_node_and_gets_what_it_is_defined_to_get(settings):
    with pytest.raises(ValueError, match="fallbacks name GONE"):
        ServiceSettings(nodes=(NodeSettings(ae_title="A", host="h", port=1, fallbacks=("GONE",)),))
    second = settings.node("SECOND").model_copy(update={"objects": ("rtstruct", "seg")})
    nodes = (settings.node("TPS"), second, settings.node("THIRD"))
    special = settings.model_copy(update={"nodes": nodes}).special_destinations("TPS")
    assert [(each.ae_title, each.objects) for each in special] == [("SECOND", ("rtstruct", "seg"))]
