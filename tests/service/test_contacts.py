"""Who has connected, or tried to: kept, shown by `penumbra peers list`, and never more than a table can hold."""

import json
import subprocess

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from service import contacts as contacts_module
from service.cli import app
from service.contacts import ContactBook, contacts
from service.door import Caller
from service.inbox import Inbox
from service.peer_settings import PeerSettings
from service.probes import free_port, listener_answers

HERE = "127.0.0.1"
PEERS = (PeerSettings(ae_title="TPS", addresses=[HERE]), PeerSettings(ae_title="PACS", addresses=[HERE]))


@pytest.fixture
def book(database):
    return ContactBook(database)


@pytest.fixture
def listening(settings, database, serve, book):
    """A listener with two peers that notes contacts."""
    listening = settings.model_copy(update={"peers": PEERS, "dicom_port": free_port(HERE)})
    serve(listening, Inbox(listening, database), book=book)
    return listening


def echo(settings, calling, called="PENUMBRA"):
    command = ["/usr/bin/echoscu", "-aet", calling, "-aec", called, HERE, str(settings.dicom_port)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_peers_and_strangers_are_noted_and_the_watchdog_is_not(listening, book, database):
    assert echo(listening, "TPS") == 0
    assert echo(listening, "STRANGER", "OTHER") != 0
    assert listener_answers(listening)
    book.flush()
    stranger, tps = contacts(database)
    assert (tps.ae_title, tps.address, tps.called, tps.refused) == ("TPS", HERE, "PENUMBRA", None)
    assert (stranger.ae_title, stranger.called) == ("STRANGER", "OTHER")
    assert stranger.refused == "calling AE title is unknown"


def test_the_last_contact_of_a_title_and_address_counts(database, book):
    for called in ("FIRST", "SECOND"):
        book.note(Caller(calling="TPS", called=called, address=HERE), None)
        book.flush()
    book.note(Caller(calling="TPS", called="PENUMBRA", address="192.0.2.1"), "address is not the peer's")
    book.flush()
    assert [(each.address, each.called) for each in contacts(database)] == [
        ("192.0.2.1", "PENUMBRA"),
        (HERE, "SECOND"),
    ]


def test_a_crowd_of_strangers_fills_no_table(database, book, monkeypatch):
    monkeypatch.setattr(contacts_module, "MOST_KEPT", 5)
    for number in range(20):
        book.note(Caller(calling=f"T{number}", called="X", address=HERE), "refused")
        if number % 4 == 3:
            book.flush()
    book.flush()
    assert [each.ae_title for each in contacts(database)] == ["T19", "T18", "T17", "T16", "T15"]


def test_titles_from_the_network_are_made_printable(database, book):
    book.note(Caller(calling="A\0B\n", called="\x1b[31m", address=HERE), None)
    book.flush()
    assert [(each.ae_title, each.called) for each in contacts(database)] == [("A?B?", "?[31m")]


def test_a_database_that_is_away_stops_no_association(listening, database, book):
    with database.write() as session:
        session.execute(text("ALTER TABLE peer_contact RENAME TO gone"))
    assert echo(listening, "TPS") == 0
    stop = _Stop(after=2)
    book.run(stop)
    assert stop.waited == 3
    with database.write() as session:
        session.execute(text("ALTER TABLE gone RENAME TO peer_contact"))


class _Stop:
    """An event that is set after so many waits."""

    def __init__(self, after):
        self.after, self.waited = after, 0

    def wait(self, _seconds):
        self.waited += 1
        return self.waited > self.after


def test_list_shows_when_a_peer_connected_and_who_else_knocked(listening, book, monkeypatch):
    for name, value in listening.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    echo(listening, "TPS")
    echo(listening, "STRANGER")
    book.flush()
    shown = CliRunner().invoke(app, ["peers", "list"]).stdout
    assert f"Not in the table: STRANGER from {HERE} called us PENUMBRA" in shown
    assert "refused: calling AE title is unknown" in shown
    assert "accepted" in shown and "never" in shown


def test_list_makes_no_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PENUMBRA_DATA_DIR", str(tmp_path / "none"))
    assert json.loads(CliRunner().invoke(app, ["peers", "list", "--json"]).stdout) == []
    assert CliRunner().invoke(app, ["peers", "list"]).exit_code == 0
    assert not (tmp_path / "none").exists()
