import errno
import json
import os
import stat
import time
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, RTPlanStorage, RTStructureSetStorage
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from service.actor import acting, node
from service.audit_windows import Windows
from service.inbox import (
    Announced,
    ClassMismatch,
    ConflictingInstance,
    Inbox,
    InboxUnavailable,
    NotAnImage,
    OutOfSpace,
    UidMismatch,
)
from service.instance_register import InstanceRegister
from service.records import AuditRecord
from worker.errors import TooLarge, UnsupportedTransferSyntax

SERIES = "1.2.826.0.1.3680043.10.999.7"


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_received_instance_is_on_disk_and_in_the_database(inbox, instance):
    data = instance()
    received = inbox.receive(data, sender="TPS", source="dicom")
    assert not received.duplicate
    (record,) = inbox.series(SERIES)
    assert inbox.path(record).read_bytes()[128:] == data[128:]
    assert record.sender == "TPS"


def test_file_name_holds_no_uid_and_the_preamble_is_blanked(inbox, instance):
    inbox.receive(b"MZ" + instance()[2:], sender="TPS", source="dicom")
    (record,) = inbox.series(SERIES)
    assert record.path == f"{record.sha256[:2]}/{record.sha256}.dcm"
    assert inbox.path(record).read_bytes()[:128] == bytes(128)


def test_same_instance_again_is_a_duplicate_and_makes_nothing_new(inbox, jobs, instance, settings):
    inbox.receive(instance(), sender="TPS", source="dicom")
    version = jobs.version()
    assert inbox.receive(instance(), sender="TPS", source="dicom").duplicate
    assert len(files_below(settings.inbox_dir)) == 1
    assert jobs.version() == version


def test_same_instance_in_another_transfer_syntax_is_a_duplicate(inbox, instance, implicit):
    inbox.receive(instance(), sender="TPS", source="dicom")
    assert inbox.receive(instance(syntax=implicit), sender="TPS", source="rest").duplicate


def test_other_content_under_a_known_uid_is_refused_and_the_first_is_kept(inbox, instance, settings):
    inbox.receive(instance(value=1), sender="TPS", source="dicom")
    with pytest.raises(ConflictingInstance, match=rf"{SERIES}\.1 was received before"):
        inbox.receive(instance(value=2), sender="TPS", source="dicom")
    (record,) = inbox.series(SERIES)
    assert inbox.path(record).read_bytes()[128:] == instance(value=1)[128:]
    assert len(files_below(settings.quarantine_dir)) == 1


@pytest.mark.parametrize(
    "data", [b"", b"no DICOM at all", bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\xff" * 500]
)
def test_what_is_no_dicom_is_refused(inbox, data):
    with pytest.raises(NotAnImage):
        inbox.receive(data, sender="TPS", source="rest")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_instance_cut_off_in_its_header_is_refused(inbox, instance):
    data = instance()
    for length in range(132, data.index(b"MONOCHROME2"), 7):
        with pytest.raises(NotAnImage):
            inbox.receive(data[:length], sender="TPS", source="rest")


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.3/4", "1..2", "01.2", "1." + "2" * 64, "1.2.x", ""])
def test_uids_that_are_none_are_refused(inbox, instance, settings, uid):
    data = instance(SOPInstanceUID="1.2.3.4", SeriesInstanceUID="1.2.3.5")
    hostile = data.replace(b"1.2.3.5\0", uid.encode()[:8].ljust(8, b"\0")) if len(uid) <= 8 else None
    if hostile is None:
        with pytest.warns(UserWarning):
            hostile = instance(SeriesInstanceUID=uid)
    with pytest.raises(NotAnImage):
        inbox.receive(hostile, sender="TPS", source="rest")
    assert files_below(settings.inbox_dir) == []


def test_dicom_that_is_no_image_is_refused(inbox, instance):
    with pytest.raises(NotAnImage, match="not an image"):
        inbox.receive(instance(SOPClassUID=RTPlanStorage), sender="TPS", source="rest")


def test_deflated_instance_is_refused_before_it_is_inflated(inbox, instance):
    with pytest.raises(UnsupportedTransferSyntax):
        inbox.receive(instance(syntax=DeflatedExplicitVRLittleEndian), sender="TPS", source="rest")


def test_what_the_data_set_lacks_of_its_identity_the_meta_information_tells(inbox, instance, settings):
    """As with a real JPEG 2000 series that has no SOPClassUID in its data sets."""
    dataset = dcmread(BytesIO(instance()))
    del dataset.SOPClassUID
    file = BytesIO()
    dataset.save_as(file)
    inbox.receive(file.getvalue(), sender="TPS", source="rest")
    (path,) = files_below(settings.data_dir / "inbox")
    assert "SOPClassUID" not in dcmread(path)
    assert dcmread(path).file_meta.MediaStorageSOPClassUID == CTImageStorage


def audited(database):
    with database.read() as session:
        rows = session.scalars(select(AuditRecord).order_by(AuditRecord.seq)).all()
    return [(row.action, row.actor, row.series_uid, row.subject, json.loads(row.detail)) for row in rows]


def test_a_structure_set_that_is_received_is_audited_by_its_uid(inbox, instance, database):
    structures = {"SOPClassUID": RTStructureSetStorage, "Modality": "RTSTRUCT", "StructureSetROISequence": []}
    with acting(node("TPS")):
        inbox.receive(instance(f"{SERIES}.9", Rows=None, **structures), sender="TPS", source="dicom")
    assert audited(database) == [("received", "node:TPS", f"{SERIES}.9", f"{SERIES}.9.1", {"sender": "TPS"})]


def test_what_is_sent_again_is_audited_once_a_minute_and_sender(inbox, instance, database):
    for who in ("TPS", "TPS", "ARCHIVE"):
        with acting(node(who)):
            for number in (1, 2, 3):
                inbox.receive(instance(number=number), sender=who, source="dicom")
    first, *again = audited(database)
    assert first[1:3] == ("node:TPS", SERIES) and "again" not in first[4]
    assert [(actor, uid, detail["again"]) for _, actor, _, uid, detail in again] == [
        ("node:TPS", f"{SERIES}.1", True),
        ("node:ARCHIVE", f"{SERIES}.1", True),
    ]


def test_what_is_sent_again_is_audited_when_the_database_writes_again(inbox, instance, database, monkeypatch):
    def fail(*_arguments, **_options):
        raise OperationalError("", {}, Exception("locked"))

    inbox.receive(instance(), sender="TPS", source="dicom")
    with monkeypatch.context() as broken:
        broken.setattr("service.audit.record", fail)
        with pytest.raises(InboxUnavailable):
            inbox.receive(instance(), sender="TPS", source="dicom")
    inbox.receive(instance(), sender="TPS", source="dicom")
    assert [detail.get("again") for *_, detail in audited(database)] == [None, True]


def test_a_number_that_could_not_be_told_is_told_with_the_next():
    windows = Windows()
    assert [windows.untold("a"), windows.untold("a")] == [0, None]
    windows.forget("a", 5)
    assert [windows.untold("a"), windows.untold("a")] == [6, None]
    windows.forget("b", 1)
    assert windows.untold("b") == 0


def test_announced_identity_must_be_the_datasets(inbox, instance):
    announced = Announced(f"{SERIES}.2", "1.2.840.10008.5.1.4.1.1.2")
    with pytest.raises(UidMismatch):
        inbox.receive(instance(), sender="TPS", source="dicom", announced=announced)
    announced = Announced(f"{SERIES}.1", "1.2.840.10008.5.1.4.1.1.4")
    with pytest.raises(ClassMismatch):
        inbox.receive(instance(), sender="TPS", source="dicom", announced=announced)


def test_instance_over_the_size_limit_is_refused(settings, database, instance):
    small = settings.model_copy(update={"max_instance_bytes": 100})
    with pytest.raises(TooLarge):
        Inbox(small, database).receive(instance(), sender="TPS", source="rest")


def test_nothing_is_taken_when_space_is_short(settings, database, instance):
    full = settings.model_copy(update={"min_free_bytes": 2**60})
    with pytest.raises(OutOfSpace):
        Inbox(full, database).receive(instance(), sender="TPS", source="dicom")


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_disk_error_leaves_no_half_file_and_no_row(inbox, instance, settings, monkeypatch, call, error):
    def fail(*_arguments):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutOfSpace):
        inbox.receive(instance(), sender="TPS", source="dicom")
    monkeypatch.undo()
    assert files_below(settings.inbox_dir) == []
    assert list(inbox.series(SERIES)) == []
    assert not inbox.receive(instance(), sender="TPS", source="dicom").duplicate


def test_file_then_name_then_row_become_durable_in_that_order(inbox, instance, monkeypatch, settings):
    order = []
    fsync, replace, note = os.fsync, Path.replace, InstanceRegister.add

    def spy_fsync(descriptor):
        order.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        fsync(descriptor)

    def spy_replace(path, target):
        order.append("rename")
        return replace(path, target)

    def spy_note(*arguments, **options):
        order.append("row")
        return note(*arguments, **options)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    monkeypatch.setattr(InstanceRegister, "add", spy_note)
    inbox.receive(instance(), sender="TPS", source="dicom")
    assert order[-4:] == ["fsync file", "rename", "fsync folder", "row"]


def test_series_is_quiet_only_after_the_quiet_period(inbox, receive, settings):
    receive()
    assert inbox.quiet_series() == []
    time.sleep(settings.quiet_period_s * 1.5)
    (quiet,) = inbox.quiet_series()
    assert (quiet.series_instance_uid, quiet.instance_count) == (SERIES, 3)
    receive(first=4, slices=1)
    assert inbox.quiet_series() == []


def test_leftovers_of_a_crash_are_swept(inbox, receive, settings):
    receive()
    leftover = settings.inbox_dir / "aa" / ".abc.tmp"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half")
    assert inbox.sweep_leftovers() == 1
    assert len(files_below(settings.inbox_dir)) == 3


def test_a_structure_set_is_kept_but_makes_no_job_and_does_not_enter_one(inbox, jobs, instance):
    inbox.receive(instance(SERIES, 1), sender="TPS", source="dicom")
    structures = {"SOPClassUID": RTStructureSetStorage, "Modality": "RTSTRUCT", "StructureSetROISequence": []}
    for series_uid, number in ((SERIES, 2), (f"{SERIES}.5", 1)):  # some systems give it the CT's own series
        data = instance(series_uid, number, **structures, Rows=None)
        inbox.receive(data, sender="TPS", source="dicom")
        assert inbox.receive(data, sender="TPS", source="dicom").duplicate
    assert len(inbox.series(SERIES)) == 2
    assert [job.series_instance_uid for job in jobs.list().jobs] == [SERIES]
    assert jobs.submit(SERIES).instance_count == 1
    with pytest.raises(NotAnImage, match="cut off"):
        whole = instance(SERIES, 3, **(structures | {"StructureSetROISequence": None}), Rows=None)
        inbox.receive(whole[: whole.index(b"\x06\x30\x20\x00")], sender="TPS", source="dicom")
