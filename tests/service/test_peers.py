"""The peer table: who may connect, from where, to do what; and that a stranger is named in the log."""

import json
import subprocess
from io import BytesIO

import pytest
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from structlog.testing import capture_logs
from typer.testing import CliRunner

from service.cli import app
from service.door import Caller, Door, plain_address
from service.inbox import Inbox
from service.peer_settings import PeerSettings
from service.probes import free_port, listener_answers
from service.settings import NodeSettings, ServiceSettings

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.77"
PEERS = (
    PeerSettings(ae_title="TPS", addresses=["127.0.0.77", "192.0.2.0/24"]),
    PeerSettings(ae_title="PACS", addresses=["127.0.0.0/8"], rights=["commit"]),
    PeerSettings(ae_title="SCANNER", addresses=["127.0.0.0/8"], called=["FAST", "SLOW"]),
)
STORED, ECHOED, SHUT = 0x0000, 0x0000, None
CALLING, CALLED = 0x03, 0x07  # PS3.8 9.3.4


@pytest.fixture
def guarded(settings, database, serve):
    """A listener with the peer table above."""
    guarded = settings.model_copy(update={"peers": PEERS, "dicom_port": free_port(HERE)})
    serve(guarded, Inbox(guarded, database))
    return guarded


@pytest.fixture
def ask(guarded, instance):
    """Connect as somebody and try everything: (reason of the rejection, answer to C-ECHO, to C-STORE)."""

    def call(calling, called="PENUMBRA", address=HERE):
        entity = AE(ae_title=calling)
        entity.add_requested_context(Verification)
        entity.add_requested_context(CTImageStorage)
        association = entity.associate(HERE, guarded.dicom_port, ae_title=called, bind_address=(address, 0))
        if not association.is_established:
            reason = association.acceptor.primitive.diagnostic if association.is_rejected else None
            return reason, SHUT, SHUT
        echoed = association.send_c_echo().Status
        try:
            stored = association.send_c_store(dcmread(BytesIO(instance()))).Status
        except ValueError:  # the context was not accepted
            stored = SHUT
        association.release()
        return None, echoed, stored

    return call


def test_a_peer_comes_in_from_its_own_address_under_its_own_title_only(ask):
    assert ask("TPS", address=ELSEWHERE) == (None, ECHOED, STORED)
    assert ask("TPS", address=HERE) == (CALLING, SHUT, SHUT)
    assert ask("tps", address=ELSEWHERE) == (CALLING, SHUT, SHUT)
    assert ask("STRANGER", address=ELSEWHERE) == (CALLING, SHUT, SHUT)
    assert ask("TPS", called="OTHER", address=ELSEWHERE) == (CALLED, SHUT, SHUT)


def test_a_peer_does_what_it_has_a_right_to(ask, inbox):
    assert ask("PACS") == (None, ECHOED, SHUT)
    assert list(inbox.series("1.2.826.0.1.3680043.10.999.7")) == []


def test_a_peer_calls_us_by_the_titles_of_its_entry(ask):
    assert ask("SCANNER", called="FAST") == ask("SCANNER", called="SLOW") == (None, ECHOED, STORED)
    assert ask("SCANNER", called="PENUMBRA") == (CALLED, SHUT, SHUT)


def test_our_own_title_opens_the_door_to_the_watchdog_only(guarded, ask):
    assert listener_answers(guarded)
    assert ask("PENUMBRA") == (None, ECHOED, SHUT)
    outside = Caller(calling="PENUMBRA", called="PENUMBRA", address="192.0.2.9")
    assert Door(guarded).admit(outside).cause == "calling AE title is unknown"


def test_a_stranger_is_named_in_the_log(ask):
    with capture_logs() as lines:
        ask("STRANGER", address=ELSEWHERE)
        ask("TPS", address=HERE)
    refused = [line for line in lines if line["event"] == "association refused"]
    assert [(line["sender"], line["address"], line["cause"]) for line in refused] == [
        ("STRANGER", ELSEWHERE, "calling AE title is unknown"),
        ("TPS", HERE, "address is not the peer's"),
    ]
    assert {line["called"] for line in refused} == {"PENUMBRA"}


def test_a_door_that_breaks_lets_nobody_store(ask, monkeypatch):
    monkeypatch.setattr(Door, "admit", lambda *_: 1 / 0)
    assert ask("TPS", address=ELSEWHERE) == (None, SHUT, SHUT)


def test_dcmtk_is_refused_and_let_in(guarded):
    def echo(calling, called="PENUMBRA"):
        command = ["/usr/bin/echoscu", "-aet", calling, "-aec", called, HERE, str(guarded.dicom_port)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert echo("PACS").returncode == 0
    assert "Calling AE Title Not Recognized" in echo("STRANGER").stderr
    assert "Called AE Title Not Recognized" in echo("PACS", "OTHER").stderr


def test_allowed_senders_and_peers_add_up(settings):
    both = settings.model_copy(update={"peers": PEERS, "allowed_senders": ("OLD",)})
    door = Door(both)
    assert door.admit(Caller(calling="OLD", called="PENUMBRA", address="203.0.113.1")) == {"store", "commit"}
    assert door.admit(Caller(calling="OLD", called="X", address="203.0.113.1")).diagnostic == CALLED
    assert door.admit(Caller(calling="TPS", called="PENUMBRA", address="192.0.2.200")) == {"store", "commit"}


def test_ipv4_over_an_ipv6_socket_is_ipv4(settings):
    assert str(plain_address("::ffff:192.0.2.10")) == "192.0.2.10"
    assert str(plain_address("fe80::1%eth0")) == "fe80::1"
    door = Door(settings.model_copy(update={"peers": PEERS}))
    assert door.admit(Caller(calling="TPS", called="PENUMBRA", address="::ffff:192.0.2.10"))


def test_network_needs_peers_and_their_entries_are_checked():
    with pytest.raises(ValidationError, match="PENUMBRA_PEERS"):
        ServiceSettings(dicom_host="0.0.0.0")  # noqa: S104
    ServiceSettings(dicom_host="0.0.0.0", peers=PEERS)  # noqa: S104
    for wrong in ({"addresses": []}, {"addresses": ["nowhere"]}, {"rights": ["everything"]}, {"adress": "x"}):
        with pytest.raises(ValidationError):
            PeerSettings(**{"ae_title": "TPS", "addresses": ["192.0.2.1"], **wrong})
    for title in ("", "SEVENTEEN-LETTERS", "BACK\\SLASH", "UMLÄUT"):
        with pytest.raises(ValidationError, match="ae_title"):
            PeerSettings(ae_title=title, addresses=["192.0.2.1"])


def test_a_peers_results_go_where_its_entry_says():
    nodes = [NodeSettings(ae_title=title, host="h", port=104) for title in ("TPS", "PACS", "QA")]
    entry = PeerSettings(ae_title="TPS", addresses=["192.0.2.1"], deliver_to=["QA", "sender"])
    settings = ServiceSettings(nodes=nodes, deliver_to=["PACS"], peers=[entry])
    assert settings.destinations("TPS") == ("QA", "TPS")
    assert settings.destinations("QA") == ("QA", "PACS")
    assert settings.destinations("SCANNER") == ("PACS",)
    with pytest.raises(ValidationError, match="NOWHERE"):
        ServiceSettings(peers=[entry.model_copy(update={"deliver_to": ("NOWHERE",)})])


def test_children_read_the_table_back(monkeypatch):
    settings = ServiceSettings(peers=PEERS)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert ServiceSettings().peers == PEERS


@pytest.fixture
def penumbra(monkeypatch):
    """`penumbra …` with peers and nodes in the environment."""

    def run(*arguments, peers=PEERS, nodes=()):
        monkeypatch.setenv("PENUMBRA_PEERS", json.dumps([peer.model_dump(mode="json") for peer in peers]))
        monkeypatch.setenv("PENUMBRA_NODES", json.dumps(nodes))
        return CliRunner().invoke(app, arguments)

    return run


def test_list_shows_who_may_connect_and_whom_we_connect_to(penumbra):
    node = {"ae_title": "TPS", "host": "planning.example", "port": 104}
    rows = json.loads(penumbra("peers", "list", "--json", nodes=[node]).stdout)
    assert [row["ae_title"] for row in rows] == ["TPS", "PACS", "SCANNER"]
    assert rows[0]["addresses"] == ["127.0.0.77", "192.0.2.0/24"]
    assert (rows[0]["node"], rows[0]["delivers_to"]) == ("planning.example:104", ["TPS"])
    assert rows[1]["rights"] == ["echo", "commit"]
    assert "SCANNER" in penumbra("peers", "list").stdout
    assert "Anybody may connect" in penumbra("peers", "list", peers=()).stdout


def test_echo_tells_apart_what_is_wrong(guarded, penumbra, monkeypatch):
    def node(title, port):
        return {"ae_title": title, "host": HERE, "port": port}

    port = free_port(HERE)
    with subprocess.Popen(["/usr/bin/storescp", "-aet", "TPS", str(port)]) as scp:
        up = _until(lambda: penumbra("peers", "echo", "TPS", nodes=[node("TPS", port)]))
        scp.kill()
    assert "TPS at 127.0.0.1" in up.stdout and "answers" in up.stdout
    down = penumbra("peers", "echo", nodes=[node("TPS", port)])
    assert down.exit_code == 1 and "could not be reached" in down.stdout
    monkeypatch.setenv("PENUMBRA_AE_TITLE", "PACS")
    wrong = penumbra("peers", "echo", nodes=[node("NOT-YOU", guarded.dicom_port)])
    assert wrong.exit_code == 1 and "Called AE title not recognised" in wrong.stdout
    assert penumbra("peers", "echo", "NOBODY").exit_code == 2


def _until(ask, tries=50):
    for _ in range(tries):
        done = ask()
        if done.exit_code == 0:
            break
    return done
