"""The exported log is what PS3.15 A.5 says, and holds every event with its hash; the command line reads it."""

import base64
import io
from pathlib import Path

import pytest
from lxml import etree
from typer.testing import CliRunner

from service import actor, audit, audit_dicom, cli
from service.audit import Action
from service.audit_anchor import Anchor
from service.audit_chain import verify
from service.audit_dicom import write_messages

SCHEMA = etree.RelaxNG(file=str(Path(__file__).with_name("audit_message.rng")))
NAMED = {"series_uid": "2.25.1", "study_uid": "2.25.2", "job_id": "j-1"}


def record(database, action, **about):
    with database.write() as session:
        audit.record(session, action, **about)


def exported(database, **options):
    stream = io.BytesIO()
    with database.read() as session:
        write_messages(session, stream, **options)
    return etree.fromstring(stream.getvalue())


def details(element):
    found = element.iter("ParticipantObjectDetail")
    return {each.get("type"): base64.b64decode(each.get("value")).decode() for each in found}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_every_action_makes_a_valid_message(database, action, outcome):
    record(
        database, action, actor=actor.node("TPS", "192.0.2.7"), outcome=outcome, subject="ARCHIVE", **NAMED
    )
    record(database, action, outcome=outcome, series_uid="2.25.1", slices=3)
    messages = exported(database)
    assert len(messages) == 2
    for message in messages:
        SCHEMA.assertValid(message)


def test_the_schema_is_one_that_refuses(database):
    record(database, Action.RECEIVED, **NAMED)
    (message,) = exported(database)
    message.find("EventIdentification").attrib.pop("EventDateTime")
    assert not SCHEMA.validate(message)


def test_a_message_says_who_sent_what_where_and_how_it_went(database):
    record(database, Action.DELIVERED, subject="ARCHIVE", attempt=2, **NAMED)
    record(database, Action.RECEIVED, actor=actor.node("TPS", "192.0.2.7"), outcome="failure", **NAMED)
    sent, received = exported(database)
    assert sent.find("EventIdentification/EventID").get("csd-code") == "110104"
    assert [each.get("UserID") for each in sent.iter("ActiveParticipant")] == [
        "system:penumbra",
        "penumbra",
        "ARCHIVE",
    ]
    assert [each.get("csd-code") for each in sent.iter("RoleIDCode")] == ["110153", "110152"]
    assert details(sent)["attempt"] == "2"
    source = received.find("ActiveParticipant")
    assert (source.get("UserID"), source.get("NetworkAccessPointID")) == ("TPS", "192.0.2.7")
    assert received.find("EventIdentification").get("EventOutcomeIndicator") == "4"
    study = received.find("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "2.25.2"
    assert details(study) == {"SeriesInstanceUID": "2.25.1"}


def test_the_hashes_are_exported_with_it_and_an_export_can_go_on(database):
    for _ in range(3):
        record(database, Action.ECHOED)
    with database.read() as session:
        head = verify(session, []).head
    messages = exported(database, after=1)
    assert len(messages) == 2
    assert details(messages[-1])["hash"] == head.hash


@pytest.fixture
def penumbra(settings, database, monkeypatch):
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(cli.app, arguments)


def test_the_command_says_whole_and_what_to_note(penumbra, database):
    record(database, Action.ECHOED)
    done = penumbra("audit", "verify")
    assert done.exit_code == 0 and "whole: 1 events" in done.output
    noted = done.output.rpartition("elsewhere: ")[2].strip()
    assert penumbra("audit", "verify", "--noted", noted).exit_code == 0
    assert penumbra("audit", "verify", "--noted", "x").exit_code == 2


def test_the_command_fails_where_an_anchor_is_missing(penumbra, database, settings):
    record(database, Action.ECHOED)
    Anchor(settings, database).note_if_due()
    assert "1 of them noted" in penumbra("audit", "verify").output
    path = settings.data_dir / "audit-anchors.txt"
    path.write_text(path.read_text() + f"2:{'a' * 64}\n3:cut off by a cra")
    done = penumbra("audit", "verify")
    assert done.exit_code == 1 and "NOT WHOLE" in done.output
    assert path.stat().st_mode & 0o077 == 0


def test_the_command_exports_and_that_is_an_event_too(penumbra, database, tmp_path):
    record(database, Action.ECHOED)
    out = tmp_path / "log.xml"
    assert "2 events written" in penumbra("audit", "export", str(out)).output
    echoed, export = etree.parse(out).getroot()
    assert "export" in [each.get("ParticipantObjectID") for each in export], "itself is the last one"
    assert len(exported(database)) == 2
    assert penumbra("audit", "export", str(out)).exit_code != 0  # nothing is overwritten
    assert len(exported(database)) == 2


def test_others_write_while_a_long_log_is_exported(penumbra, database, tmp_path, monkeypatch):
    def during(session, stream, **options):
        record(database, Action.ECHOED)
        return write_messages(session, stream, **options)

    monkeypatch.setattr(audit_dicom, "write_messages", during)
    done = penumbra("audit", "export", str(tmp_path / "log.xml"))
    assert done.exit_code == 0, done.output
    assert len(exported(database)) == 2
