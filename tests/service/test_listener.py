"""The listener in this process: what it stores, what it refuses, and that hostile peers cannot stop it."""

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RTPlanStorage,
)
from pynetdicom import AE

from service.inbox import Inbox
from service.probes import free_port, listener_answers

SERIES = "1.2.826.0.1.3680043.10.999.7"


@pytest.fixture
def listener_settings(settings):
    return settings.model_copy(
        update={
            "dicom_port": free_port("127.0.0.1"),
            "pdu_deadline_s": 1.0,
            "max_associations_per_address": 4,
            "max_instance_bytes": 200_000,
        }
    )


@pytest.fixture
def listener(listener_settings, database, serve):
    serve(listener_settings, Inbox(listener_settings, database))
    return listener_settings


@pytest.fixture
def associate(listener):
    open_ones = []

    def connect(*classes, calling="TPS", called="PENUMBRA"):
        entity = AE(ae_title=calling)
        for each in classes or (CTImageStorage, MRImageStorage):
            entity.add_requested_context(each)
        association = entity.associate("127.0.0.1", listener.dicom_port, ae_title=called)
        open_ones.append(association)
        return association

    yield connect
    for association in open_ones:
        if association.is_established:
            association.release()


def dataset(data):
    return dcmread(BytesIO(data))


def connections(listener, count):
    return [socket.create_connection(("127.0.0.1", listener.dicom_port), timeout=10) for _ in range(count)]


def is_closed(connection):
    """Whether the peer has closed it; waits up to the socket's timeout."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    return True


def test_instance_is_stored_and_answered(associate, inbox, instance):
    status = associate().send_c_store(dataset(instance()))
    assert status.Status == 0x0000
    (record,) = inbox.series(SERIES)
    assert record.sender == "TPS"
    assert dcmread(inbox.path(record)).PixelData == dataset(instance()).PixelData


def test_echo_is_answered(listener):
    assert listener_answers(listener)


def test_mr_is_taken_and_plans_are_not(associate, inbox, instance):
    mr = dataset(instance(SOPClassUID=MRImageStorage, Modality="MR"))
    assert associate().send_c_store(mr).Status == 0x0000
    refused = associate(RTPlanStorage)
    assert not refused.is_established


OFFERED = {
    "plain first": ([JPEGLSLossless, ExplicitVRLittleEndian], ExplicitVRLittleEndian),
    "compressed": ([JPEG2000Lossless], JPEG2000Lossless),
    "JPEG lossless": ([JPEGBaseline8Bit, JPEGLosslessSV1], JPEGLosslessSV1),
    "lossy": ([JPEGBaseline8Bit, JPEG2000, JPEGLSNearLossless], None),
    "deflated, big endian": ([DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian], None),
}


@pytest.mark.parametrize("switched_on", [False, True])
def test_compressed_images_are_taken_only_where_switched_on_and_plain_ones_first(
    listener_settings, database, serve, switched_on
):
    settings = listener_settings.model_copy(update={"accept_compressed": switched_on})
    serve(settings, Inbox(settings, database))
    for case, (syntaxes, taken) in OFFERED.items():
        entity = AE(ae_title="TPS")
        entity.add_requested_context(CTImageStorage, syntaxes)
        association = entity.associate("127.0.0.1", settings.dicom_port, ae_title="PENUMBRA")
        chosen = [context.transfer_syntax[0] for context in association.accepted_contexts]
        is_plain = taken == ExplicitVRLittleEndian
        assert chosen == ([taken] if taken and (switched_on or is_plain) else []), case
        if association.is_established:
            association.release()


def test_same_again_is_fine_and_other_content_is_refused(associate, instance):
    association = associate()
    assert association.send_c_store(dataset(instance(value=1))).Status == 0x0000
    assert association.send_c_store(dataset(instance(value=1))).Status == 0x0000
    refused = association.send_c_store(dataset(instance(value=2)))
    assert refused.Status & 0xF000 == 0xC000
    assert "received before" in refused.ErrorComment


def test_identity_must_be_the_announced_one(associate, inbox, instance, monkeypatch):
    association = associate()
    sent = dataset(instance())
    original = dataset(instance())
    original.SOPInstanceUID = f"{SERIES}.2"
    monkeypatch.setattr("pynetdicom.association.encode", _encoder_of(original))
    assert association.send_c_store(sent).Status & 0xF000 == 0xC000
    original.SOPInstanceUID, original.SOPClassUID = f"{SERIES}.1", MRImageStorage
    assert association.send_c_store(sent).Status == 0xA900
    assert list(inbox.series(SERIES)) == []


def _encoder_of(replacement):
    from pynetdicom.dsutils import encode

    return lambda _dataset, *arguments: encode(replacement, *arguments)


def test_full_disk_is_said_and_gone_when_there_is_space(listener, associate, instance):
    listener.min_free_bytes = 2**60
    association = associate()
    assert association.send_c_store(dataset(instance())).Status == 0xA700
    listener.min_free_bytes = 1000
    assert association.send_c_store(dataset(instance())).Status == 0x0000


def test_unexpected_error_ends_in_a_status_and_the_association_goes_on(associate, instance, monkeypatch):
    association = associate()
    monkeypatch.setattr(Inbox, "receive", lambda *_a, **_k: 1 / 0)
    assert association.send_c_store(dataset(instance())).Status == 0xC001
    monkeypatch.undo()
    assert association.send_c_store(dataset(instance())).Status == 0x0000


def test_half_open_connections_are_closed_and_keep_nobody_out(listener):
    stalled = connections(listener, 4)
    for connection in stalled:
        connection.sendall(struct.pack(">BBL", 1, 0, 5000))  # a header, and then silence
    assert listener_answers(listener)  # from the watchdog's own address
    assert all(is_closed(connection) for connection in stalled)
    assert listener_answers(listener)


def test_one_address_cannot_take_all_connections(listener):
    many = connections(listener, 12)
    refused = 0
    for connection in many:
        connection.settimeout(0.5)
        try:
            refused += connection.recv(1) == b""
        except TimeoutError:
            continue
        except ConnectionError:
            refused += 1
    assert refused >= 6
    assert listener_answers(listener)
    for connection in many:
        connection.close()


def test_pdu_that_claims_gigabytes_is_refused_unread(listener):
    listener.pdu_deadline_s = 30.0  # so that it is the size that is refused
    (connection,) = connections(listener, 1)
    connection.sendall(struct.pack(">BBL", 1, 0, 2**32 - 1))
    began = time.monotonic()
    assert is_closed(connection)
    assert time.monotonic() - began < 9


def test_pdu_that_drips_is_cut_off_although_it_never_pauses(listener):
    (connection,) = connections(listener, 1)
    connection.sendall(struct.pack(">BBL", 1, 0, 5000))
    began = time.monotonic()
    with pytest.raises(ConnectionError):
        while time.monotonic() - began < listener.pdu_deadline_s * 9:
            connection.sendall(b"x")
            time.sleep(0.1)


def test_message_over_the_limit_is_cut_off(associate, inbox, instance):
    large = dataset(instance())
    large.Rows = large.Columns = 512
    large.PixelData = bytes(512 * 512 * 2)
    association = associate()
    status = association.send_c_store(large)
    assert "Status" not in status
    assert list(inbox.series(SERIES)) == []


def test_garbage_leaves_no_thread_behind(listener):
    before = threading.active_count()
    for seed in range(20):
        (connection,) = connections(listener, 1)
        connection.sendall(bytes([seed]) + os.urandom(200))
        connection.close()
    deadline = time.monotonic() + 30
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert threading.active_count() <= before + 1
    assert listener_answers(listener)


def test_only_allowed_senders_connect(listener_settings, database, serve, associate):
    locked = listener_settings.model_copy(
        update={"allowed_senders": ("TPS",), "dicom_port": free_port("127.0.0.1")}
    )
    serve(locked, Inbox(locked, database))
    entity = AE(ae_title="STRANGER")
    entity.add_requested_context(CTImageStorage)
    assert entity.associate("127.0.0.1", locked.dicom_port, ae_title="PENUMBRA").is_rejected
    assert listener_answers(locked)


def test_path_like_uid_never_reaches_a_file_name(listener, inbox, instance, tmp_path):
    """Sent from another process, since ours refuses to send such a UID."""
    hostile = dataset(instance())
    hostile.SOPInstanceUID = hostile.file_meta.MediaStorageSOPInstanceUID = "../../../evil"
    hostile.save_as(tmp_path / "hostile.dcm", enforce_file_format=True)
    script = (
        "from pynetdicom import AE\n"
        f"entity = AE(); entity.add_requested_context({str(CTImageStorage)!r})\n"
        f"association = entity.associate('127.0.0.1', {listener.dicom_port}, ae_title='PENUMBRA')\n"
        f"print(association.send_c_store({str(tmp_path / 'hostile.dcm')!r}))"
    )
    sent = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr
    assert "0x0000" not in sent.stdout
    assert [path for path in tmp_path.rglob("*evil*")] == []
    assert list(inbox.series(SERIES)) == []
