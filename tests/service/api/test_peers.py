"""The peer table and C-ECHO over REST."""

import subprocess

import pytest
from sqlalchemy import select

from service.app import create_app
from service.contacts import ContactBook
from service.database import open_database
from service.door import Caller
from service.peer_settings import PeerSettings
from service.probes import free_port
from service.records import AuditRecord
from service.settings import NodeSettings

PEERS = "/api/v1/peers"
HERE = "127.0.0.1"


@pytest.fixture
def settings(settings):
    peers = (PeerSettings(ae_title="TPS", addresses=[HERE]), PeerSettings(ae_title="CT", addresses=[HERE]))
    nodes = tuple(NodeSettings(ae_title=name, host=HERE, port=free_port(HERE)) for name in ("TPS", "PACS"))
    return settings.model_copy(update={"peers": peers, "nodes": nodes})


@pytest.fixture
def ask(settings, ask):
    ask.app = create_app(settings)
    return ask


def echoes_in_the_audit_log(settings):
    with open_database(settings).read() as session:
        rows = session.scalars(select(AuditRecord).where(AuditRecord.action == "echoed"))
        return [(row.subject, row.outcome) for row in rows]


def test_the_table_says_who_may_connect_and_who_has(ask, settings):
    book = ContactBook(open_database(settings))
    book.note(Caller(calling="TPS", called="PENUMBRA", address=HERE), None)
    book.note(Caller(calling="EVE", called="X", address="192.0.2.9"), "calling AE title is unknown")
    book.flush()
    found = ask("GET", PEERS).json()
    assert found["open"] is False
    tps, ct, pacs = found["peers"]
    assert (tps["ae_title"], tps["last_contact"]["address"], tps["last_contact"]["refused"]) == (
        "TPS",
        HERE,
        None,
    )
    assert (ct["node"], ct["last_contact"]) == (None, None)
    assert (pacs["addresses"], pacs["rights"]) == ([], [])
    (eve,) = found["strangers"]
    assert (eve["ae_title"], eve["called"], eve["refused"]) == ("EVE", "X", "calling AE title is unknown")


def test_echo_reaches_a_node_or_says_why_not(ask, settings):
    port = settings.node("TPS").port
    with subprocess.Popen(["/usr/bin/storescp", "-aet", "TPS", str(port)]) as scp:
        answer = _until(lambda: ask("POST", f"{PEERS}/TPS/echo"))
        scp.kill()
    assert answer.json()["words"] == f"TPS at {HERE}:{port} answers."
    away = ask("POST", f"{PEERS}/PACS/echo").json()
    assert away["ok"] is False and "could not be reached" in away["words"]
    log = echoes_in_the_audit_log(settings)
    assert log[-2:] == [("TPS", "success"), ("PACS", "failure")]
    unknown = ask("POST", f"{PEERS}/EVE/echo")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown-node")
    assert ask("POST", f"{PEERS}/SEVENTEEN-LETTERS/echo").status_code == 422
    assert echoes_in_the_audit_log(settings) == log


def _until(question, tries=50):
    for _ in range(tries):
        answer = question()
        if answer.json()["ok"]:
            break
    return answer
