"""Storage commitment on the wire, with nodes that answer at once, refuse, or say nonsense."""

import threading

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from service.commitment_request import Request, ask, read_report
from worker.delivery import DeliveryError, Node

TRANSACTION = "2.25.4711"
OBJECTS = (("1.2.840.10008.5.1.4.1.1.481.3", "1.2.3"), ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.4"))


@pytest.fixture
def node():
    """A node that takes the request and answers over the same association, if it has an answer."""
    servers = []

    def start(status=0x0000, answer=None, offers=StorageCommitmentPushModel):
        asked, answers = [], []

        def act(event):
            asked.append(event.action_information)
            if answer is not None:
                threading.Timer(0.2, report, [event.assoc]).start()
            return status, None

        def report(association):
            kind, place = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            answers.append(association.send_n_event_report(answer, 1, kind, place)[0].Status)

        entity = AE(ae_title="PACS")
        entity.add_supported_context(offers)
        handlers = [(evt.EVT_N_ACTION, act)]
        servers.append(entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers))
        return Node(ae_title="PACS", host="127.0.0.1", port=servers[-1].server_address[1]), asked, answers

    yield start
    for server in servers:
        server.shutdown()


def request(node, linger_s=0.0):
    return Request(
        node=node, calling_ae="PENUMBRA", transaction_uid=TRANSACTION, objects=OBJECTS, linger_s=linger_s
    )


def report_on(*, done=(), failed=(), transaction=TRANSACTION):
    dataset = Dataset()
    dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = [_item(uid) for uid in done]
    if failed:
        dataset.FailedSOPSequence = [_item(uid, FailureReason=0x0112) for uid in failed]
    return dataset


def _item(uid, **more):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", uid
    for name, value in more.items():
        setattr(item, name, value)
    return item


def test_every_object_is_named_in_the_request(node):
    there, asked, _ = node()
    ask(request(there), on_report=lambda _: True)
    (wanted,) = asked
    assert wanted.TransactionUID == TRANSACTION
    named = [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in wanted.ReferencedSOPSequence]
    assert tuple(named) == OBJECTS


def test_an_answer_over_the_same_association_is_heard(node):
    there, _, answers = node(answer=report_on(done=["1.2.3", "1.2.4"]))
    heard = []
    ask(request(there, linger_s=20.0), on_report=lambda report: heard.append(report) or True)
    assert [each.committed for each in heard] == [{"1.2.3", "1.2.4"}]
    assert answers == [0x0000]


def test_a_report_says_what_is_answered_for_and_what_not():
    report = read_report(report_on(done=["1.2.3"], failed=["1.2.4"]))
    assert report.transaction_uid == TRANSACTION
    assert report.committed == {"1.2.3"}
    assert report.failed == {"1.2.4": "it has no such instance"}


@pytest.mark.parametrize("dataset", [Dataset(), report_on(transaction="../x")])
def test_a_report_without_a_transaction_is_none(dataset):
    with pytest.raises(ValueError, match="no report"):
        read_report(dataset)


def test_a_refused_request_and_a_node_that_offers_none_are_told(node):
    there, _, _ = node(status=0x0110)
    with pytest.raises(DeliveryError, match="refused the request"):
        ask(request(there), on_report=lambda _: True)
    there, _, _ = node(offers="1.2.840.10008.1.1")
    with pytest.raises(DeliveryError, match="does not offer storage commitment"):
        ask(request(there), on_report=lambda _: True)
    with pytest.raises(DeliveryError, match="could not be reached"):
        ask(request(Node(ae_title="X", host="127.0.0.1", port=1)), on_report=lambda _: True)
