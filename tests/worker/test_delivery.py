"""Sending to real storage SCPs on loopback, and refusals in words."""

import shutil
import socket
import subprocess
import time

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage
from pynetdicom import AE, evt

from worker.delivery import DeliveryError, Node, describe, send


@pytest.fixture
def rtstruct(written):
    """The file to be sent."""
    return written


@pytest.fixture
def scp():
    """Start a storage SCP that answers with a given status; yields a function to a node and what it got."""
    servers = []

    def start(status=0x0000, syntaxes=(ImplicitVRLittleEndian,), sop_class=RTStructureSetStorage, **options):
        got = []

        def store(event):
            got.append((event.context.transfer_syntax, event.request.AffectedSOPInstanceUID, event.dataset))
            return status

        ae = AE(ae_title="TPS")
        ae.add_supported_context(sop_class, list(syntaxes))
        for name, value in options.items():
            setattr(ae, name, value)
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
        servers.append(server)
        return Node(ae_title="TPS", host="127.0.0.1", port=server.server_address[1]), got

    yield start
    for server in servers:
        server.shutdown()


def test_it_arrives_unchanged_in_implicit_vr(scp, rtstruct):
    node, got = scp(syntaxes=(ExplicitVRLittleEndian, ImplicitVRLittleEndian))
    (sent,) = send([rtstruct], node, calling_ae="PENUMBRA")
    assert sent.status == 0 and sent.remark == ""
    (syntax, uid, dataset), source = got[0], dcmread(rtstruct)
    assert syntax == ImplicitVRLittleEndian
    assert uid == sent.sop_instance_uid == source.SOPInstanceUID
    assert dataset.ROIContourSequence == source.ROIContourSequence
    assert dataset.PatientName == source.PatientName


def test_several_files_go_over_one_association(scp, rtstruct, tmp_path):
    node, got = scp()
    again = shutil.copy(rtstruct, tmp_path / "b.dcm")
    assert len(send([rtstruct, again], node, calling_ae="PENUMBRA")) == len(got) == 2


def test_a_node_that_takes_only_explicit_vr_gets_it(scp, rtstruct):
    node, got = scp(syntaxes=(ExplicitVRLittleEndian,))
    send([rtstruct], node, calling_ae="PENUMBRA")
    assert got[0][0] == ExplicitVRLittleEndian
    assert got[0][2].ROIContourSequence == dcmread(rtstruct).ROIContourSequence


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA700, "out of resources"),
        (0xA900, "does not match its SOP class"),
        (0xC000, "cannot understand"),
        (0x0122, "not supported"),
        (0x0124, "authorise"),
    ],
)
def test_a_refusal_is_told_in_words_with_its_status(scp, rtstruct, status, words):
    node, _ = scp(status)
    with pytest.raises(DeliveryError, match=words) as caught:
        send([rtstruct], node, calling_ae="PENUMBRA")
    assert caught.value.status == status
    assert f"0x{status:04X}" in str(caught.value) and caught.value.code == "delivery"


def test_a_warning_is_success_with_a_remark(scp, rtstruct):
    node, _ = scp(0xB006)
    (sent,) = send([rtstruct], node, calling_ae="PENUMBRA")
    assert sent.status == 0xB006 and "left elements out" in sent.remark


def test_a_comment_is_passed_on_unless_it_names_the_patient(draw, rtstruct):
    from pydicom.dataset import Dataset

    for comment, told in (("disk quota", True), ("patient QUASIMODO unknown", False)):
        answer = Dataset()
        answer.Status, answer.ErrorComment = 0xA700, comment
        ae = AE(ae_title="TPS")
        ae.add_supported_context(RTStructureSetStorage, ImplicitVRLittleEndian)
        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _, a=answer: a)]
        )
        node = Node(ae_title="TPS", host="127.0.0.1", port=server.server_address[1])
        with pytest.raises(DeliveryError) as caught:
            send([rtstruct], node, calling_ae="PENUMBRA")
        server.shutdown()
        assert (comment in str(caught.value)) == told
        assert "quasimodo" not in str(caught.value).casefold()


def test_an_unknown_ae_title_is_explained(scp, rtstruct):
    node, _ = scp(require_calling_aet=["OTHER"])
    with pytest.raises(DeliveryError, match="refused the association") as caught:
        send([rtstruct], node, calling_ae="PENUMBRA")
    assert "PENUMBRA" in caught.value.remedy


def test_a_node_that_takes_no_structure_sets_is_explained(scp, rtstruct):
    node, _ = scp(sop_class="1.2.840.10008.5.1.4.1.1.2")
    with pytest.raises(DeliveryError, match="RT Structure Set Storage"):
        send([rtstruct], node, calling_ae="PENUMBRA")


def test_nobody_at_home_is_explained(rtstruct):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeliveryError, match="could not be reached"):
        send([rtstruct], Node(ae_title="TPS", host="127.0.0.1", port=port), calling_ae="PENUMBRA")


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(DeliveryError, match="missing"):
        send([tmp_path / "x.dcm"], Node(ae_title="TPS", host="127.0.0.1", port=1), calling_ae="PENUMBRA")


def test_unknown_statuses_have_words_too():
    assert describe(0xC123) == "it cannot understand the instance"
    assert describe(0x0FFF) == "unknown status"


@pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK is not installed")
def test_dcmtk_receives_what_was_sent(rtstruct, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "in"
    folder.mkdir()
    process = subprocess.Popen(["storescp", "-aet", "TPS", "-od", folder, str(port)])
    try:
        node = Node(ae_title="TPS", host="127.0.0.1", port=port)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        send([rtstruct], node, calling_ae="PENUMBRA")
    finally:
        process.terminate()
        process.wait(30)
    (received,) = folder.iterdir()
    assert dcmread(received).ROIContourSequence == dcmread(rtstruct).ROIContourSequence
