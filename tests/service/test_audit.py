"""The audit log: it grows with what it tells of, names who acts, and shows every change and every cut."""

import threading
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from service import actor, audit
from service.audit import Action
from service.audit_actions import EVENTS
from service.audit_chain import Link, events, verify
from service.audit_process import noted
from service.inbox import Inbox
from service.probes import free_port
from service.records import AuditRecord

TPS = actor.node("TPS", "192.0.2.7")
GUARDS_OFF = {
    "sqlite": ("DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete"),
    "postgresql": ("SET LOCAL session_replication_role = replica",),
}


@pytest.fixture
def write_events(database):
    def write(count):
        for number in range(count):
            with database.write() as session:
                audit.record(session, Action.RECEIVED, actor=TPS, series_uid=f"2.25.{number}", slices=number)

    return write


@pytest.fixture
def tamper(database):
    """Change the database as somebody could who may write all of it: the guards are taken away first."""

    def change(*statements):
        with database.write() as session:
            for guard_off in GUARDS_OFF[database.engine.dialect.name]:
                session.execute(text(guard_off))
            for statement in statements:
                session.execute(text(statement))

    return change


def verdict(database, *noted):
    with database.read() as session:
        return verify(session, list(noted))


def test_an_event_says_who_what_and_which_series(database):
    with database.write() as session, actor.acting(TPS):
        audit.record(session, Action.RECEIVED, series_uid="2.25.1", study_uid="2.25.2", job_id="j", slices=3)
    with database.read() as session:
        event = session.scalars(select(AuditRecord)).one()
    assert (event.action, event.outcome, event.actor, event.address) == (
        "received",
        "success",
        "node:TPS",
        "192.0.2.7",
    )
    assert (event.series_uid, event.study_uid, event.job_id, event.detail) == (
        "2.25.1",
        "2.25.2",
        "j",
        '{"slices":3}',
    )


def test_nobody_in_particular_is_penumbra_itself_and_the_context_is_left_again():
    with actor.acting(TPS):
        assert actor.current_actor() is TPS
    assert actor.current_actor().user_id == "system:penumbra"


def test_an_event_is_kept_with_what_it_tells_of_or_not_at_all(database):
    with pytest.raises(RuntimeError), database.write() as session:
        audit.record(session, Action.RECEIVED)
        raise RuntimeError
    assert (verdict(database).head.seq, verdict(database).is_whole) == (0, True)


def test_several_events_of_one_transaction_are_chained(database):
    with database.write() as session:
        for _ in range(5):
            audit.record(session, Action.DELETED, series_uid="2.25.1")
    assert (verdict(database).head.seq, verdict(database).is_whole) == (5, True)


@pytest.mark.both_databases
def test_writers_at_once_make_one_chain(database, write_events):
    threads = [threading.Thread(target=write_events, args=[10]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (verdict(database).head.seq, verdict(database).is_whole) == (40, True)


@pytest.mark.both_databases
@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit WHERE seq = 2"])
def test_the_database_refuses_to_change_or_delete(database, write_events, statement):
    write_events(3)
    with pytest.raises((DatabaseError, IntegrityError), match="only grows"), database.write() as session:
        session.execute(text(statement))
    assert verdict(database).is_whole


COLUMNS = [c.name for c in AuditRecord.__table__.columns]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_changed_column_shows(database, write_events, tamper, column):
    write_events(4)
    value = 99 if column in {"seq", "at"} else "'x'"
    tamper(f"UPDATE audit SET {column} = {value} WHERE seq = 2")
    assert not verdict(database).is_whole


@pytest.mark.parametrize("seq", [1, 2, 3, 4])
def test_every_event_cut_out_shows(database, write_events, tamper, seq):
    write_events(4)
    tamper(f"DELETE FROM audit WHERE seq = {seq}")
    assert not verdict(database).is_whole


@pytest.mark.both_databases
def test_an_event_slipped_in_shows(database, write_events, tamper):
    write_events(2)
    columns = ", ".join(c for c in COLUMNS if c != "seq")
    tamper(f"INSERT INTO audit (seq, {columns}) SELECT 3, {columns} FROM audit WHERE seq = 2")
    assert not verdict(database).is_whole


def test_an_end_cut_off_cleanly_shows_against_what_was_noted_outside(database, write_events, tamper):
    write_events(3)
    noted = verdict(database).head
    tamper(
        "DELETE FROM audit WHERE seq = 3",
        "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)",
    )
    assert verdict(database).is_whole  # the database alone cannot know
    assert verdict(database, noted).faults == ("event 3, noted outside the database, is missing",)


def test_a_chain_made_anew_shows_against_what_was_noted_outside(database, write_events, tamper):
    write_events(3)
    noted = verdict(database).head
    tamper("DELETE FROM audit", f"UPDATE audit_head SET seq = 0, hash = '{'0' * 64}'")
    write_events(3)
    assert verdict(database).is_whole
    assert "not the one that was noted" in verdict(database, noted).faults[0]


def test_a_noted_link_of_an_older_event_fits_a_longer_chain(database, write_events):
    write_events(2)
    noted = Link.parse(str(verdict(database).head))
    write_events(2)
    assert verdict(database, noted, Link(0, "0" * 64)).is_whole


@pytest.mark.parametrize("wrong", ["", "7", "7:abc", f"x:{'0' * 64}"])
def test_a_link_has_one_form(wrong):
    with pytest.raises(ValueError):
        Link.parse(wrong)


def test_a_name_from_the_network_is_cut_to_what_fits(database):
    with database.write() as session:
        audit.record(
            session, Action.REFUSED, actor=actor.node("A\x00B" + "x" * 500, "y" * 500), subject="z" * 500
        )
    with database.read() as session:
        event = next(events(session))
    assert event.actor.startswith("node:A?B") and len(event.actor) == 128
    assert (len(event.address), len(event.subject)) == (64, 128)
    assert verdict(database).is_whole


def test_every_action_has_its_event_of_the_standard():
    assert set(EVENTS) == set(Action)
    assert all(len(action.value) <= 32 for action in Action)


def test_a_process_that_ends_says_so_and_one_that_is_killed_does_not(database):
    with pytest.raises(SystemExit), noted(database, "api"):
        raise SystemExit
    with database.read() as session:
        said = [(event.action, event.subject) for event in events(session)]
    assert said == [("started", "api"), ("stopped", "api")]


def test_a_refused_association_and_a_received_series_name_the_node(database, settings, serve, instance):
    settings = settings.model_copy(
        update={
            "dicom_port": free_port("127.0.0.1"),
            "allowed_senders": ("TPS",),
            "data_dir": settings.data_dir,
        }
    )
    serve(settings, Inbox(settings, database))
    for calling in ("STRANGER", "STRANGER", "TPS"):
        entity = AE(ae_title=calling)
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", settings.dicom_port, ae_title="PENUMBRA")
        if association.is_established:
            for number in (1, 2):
                association.send_c_store(dcmread(BytesIO(instance(number=number))))
            association.release()
    with database.read() as session:
        said = [(event.action, event.actor, event.address) for event in events(session)]
    assert said == [
        ("refused", "node:STRANGER", "127.0.0.1"),  # the second time within a minute is only counted
        ("received", "node:TPS", "127.0.0.1"),
    ]
