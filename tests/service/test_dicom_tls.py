"""DICOM over TLS: DCMTK on both sides, certificates that do not fit, clients that say nothing."""

import json
import socket
import ssl
import subprocess
import threading

import pytest
from pydantic import ValidationError
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from structlog.testing import capture_logs
from typer.testing import CliRunner

from service.checks.connections import check_connections
from service.cli import app
from service.inbox import Inbox
from service.peer_settings import PeerSettings
from service.probes import free_port
from service.settings import NodeSettings, ServiceSettings
from worker.delivery import DeliveryError, Node, send

HERE = "127.0.0.1"
SERIES = "1.2.826.0.1.3680043.10.999.7"
PEERS = (PeerSettings(ae_title="TPS", addresses=["127.0.0.0/8"]),)


@pytest.fixture
def secured(settings, database, parties):
    """Settings with mutual TLS; handshakes may take half a minute, so that nobody is saved by their end."""
    return ServiceSettings(
        **{
            **settings.model_dump(),
            "dicom_port": free_port(HERE),
            "peers": PEERS,
            "dicom_tls": {
                "port": free_port(HERE),
                "certificate": parties["ours"].certificate,
                "key": parties["ours"].key,
                "authorities": parties["ours"].authorities,
                "handshake_s": 30,
            },
        }
    )


@pytest.fixture
def serve_tls(database, serve):
    """Start a TLS listener; it ends with the test."""

    def start(settings):
        serve(settings, Inbox(settings, database), tls=settings.dicom_tls)
        return settings

    return start


@pytest.fixture
def tls_port(secured, serve_tls):
    return serve_tls(secured).dicom_tls.port


def changed(settings, **tls):
    """The same settings with something else in `dicom_tls`."""
    return settings.model_copy(update={"dicom_tls": settings.dicom_tls.model_copy(update=tls)})


def dcmtk(program, *arguments):
    done = subprocess.run(
        [f"/usr/bin/{program}", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


def connects(port, tls, calling="TPS", address=HERE):
    """Whether an association by pynetdicom is accepted."""
    entity = AE(ae_title=calling)
    entity.connection_timeout = entity.acse_timeout = 10
    entity.add_requested_context(Verification)
    association = entity.associate(
        HERE, port, ae_title="PENUMBRA", tls_args=tls and tls.arguments(), bind_address=(address, 0)
    )
    if not association.is_established:
        return False
    echoed = association.send_c_echo().Status == 0x0000
    association.release()
    return echoed


def test_dcmtk_echoes_and_stores_over_mutual_tls(tls_port, parties, inbox, instance, tmp_path):
    (tmp_path / "1.dcm").write_bytes(instance())
    tps = parties["tps"]
    common = ["-aet", "TPS", "-aec", "PENUMBRA", *tps.dcmtk, "+cf", tps.authorities, HERE, tls_port]
    assert dcmtk("echoscu", *common) == (0, "")
    assert dcmtk("storescu", *common, tmp_path / "1.dcm") == (0, "")
    (record,) = inbox.series(SERIES)
    assert record.sender == "TPS"


def test_only_certificates_of_the_authorities_open_the_port(tls_port, parties):
    ours = parties["ours"].authorities
    assert connects(tls_port, parties["tps"].client(ours))
    with capture_logs() as lines:
        assert not connects(tls_port, parties["stranger"].client(ours))
        assert not connects(tls_port, parties["old"].client(ours))
        assert not connects(tls_port, None)
        anonymous = ssl.create_default_context(cafile=ours)
        with socket.create_connection((HERE, tls_port)) as plain, pytest.raises(ssl.SSLError):
            with anonymous.wrap_socket(plain, server_hostname=HERE) as connection:
                connection.recv(1)
    failed = [line["cause"] for line in lines if line["event"] == "TLS handshake failed"]
    assert failed.count("certificate verify failed") == 2
    assert "peer did not return a certificate" in failed and len(failed) == 4


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_of_tls_are_refused(tls_port, parties):
    context = parties["tps"].client(parties["ours"].authorities).context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with capture_logs() as lines, socket.create_connection((HERE, tls_port)) as plain:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname=HERE)
    assert [line["cause"] for line in lines] == ["unsupported protocol"]


def test_without_mutual_no_certificate_is_asked_for(secured, serve_tls, parties):
    settings = serve_tls(changed(secured, mutual=False))
    code, said = dcmtk(
        "echoscu", "-aet", "TPS", "-aec", "PENUMBRA", "+tla", "+cf", parties["ours"].authorities,
        HERE, settings.dicom_tls.port,
    )  # fmt: skip
    assert (code, said) == (0, "")


def test_silent_clients_block_nobody(tls_port, parties):
    """They are silent for as long as the test lasts: a handshake may take 30 s here."""
    silent = [
        socket.create_connection((HERE, tls_port), source_address=(f"127.0.0.{n}", 0))
        for n in (11, 11, 12, 13)
    ]
    assert connects(tls_port, parties["tps"].client(parties["ours"].authorities))
    for connection in silent:
        connection.close()


def test_silent_and_dripping_clients_are_cut_off(secured, serve_tls):
    port = serve_tls(changed(secured, handshake_s=0.3)).dicom_tls.port
    with capture_logs() as lines, socket.create_connection((HERE, port), timeout=20) as silent:
        with socket.create_connection((HERE, port), timeout=20) as dripping:
            dripping.sendall(b"\x16\x03\x01")  # the first bytes of a ClientHello
            assert silent.recv(1) == b""
            assert dripping.recv(1) == b""
    assert [line["cause"] for line in lines] == ["too slow", "too slow"]


def test_one_address_cannot_hold_all_handshakes(secured, serve_tls, parties):
    settings = serve_tls(secured.model_copy(update={"max_associations_per_address": 3}))
    many = [socket.create_connection((HERE, settings.dicom_tls.port), timeout=20) for _ in range(8)]
    assert [connection.recv(1) for connection in many[3:]] == [b""] * 5
    client = parties["tps"].client(parties["ours"].authorities)
    assert connects(settings.dicom_tls.port, client, address="127.0.0.9")
    for connection in many:
        connection.close()


def test_a_certificate_can_be_tied_to_an_ae_title(secured, serve_tls, parties):
    pinned = PeerSettings(
        ae_title="TPS", addresses=["127.0.0.0/8"], certificate_sha256=parties["tps"].sha256.upper()
    )
    settings = serve_tls(secured.model_copy(update={"peers": (pinned,)}))
    ours = parties["ours"].authorities
    assert connects(settings.dicom_tls.port, parties["tps"].client(ours))
    with capture_logs() as lines:
        assert not connects(settings.dicom_tls.port, parties["other"].client(ours))
    assert [line["cause"] for line in lines] == ["certificate is not the peer's"]


def test_a_peer_can_be_held_to_tls(secured, database, serve, serve_tls, parties):
    peers = (PeerSettings(ae_title="TPS", addresses=["127.0.0.0/8"], tls=True),)
    settings = secured.model_copy(update={"peers": peers})
    serve(settings, Inbox(settings, database))
    serve_tls(settings)
    with capture_logs() as lines:
        assert not connects(settings.dicom_port, None)
    assert [line["cause"] for line in lines] == ["comes without TLS"]
    assert connects(settings.dicom_tls.port, parties["tps"].client(parties["ours"].authorities))
    assert connects(settings.dicom_port, None, calling="PENUMBRA")  # the watchdog


@pytest.fixture
def tls_node(parties, tmp_path):
    """DCMTK's storescp as a node that asks for a certificate: returns its port and where it stores."""
    port, folder = free_port(HERE), tmp_path / "node"
    folder.mkdir()
    tps = parties["tps"]
    command = ["/usr/bin/storescp", "-aet", "TPS", "-od", folder, *tps.dcmtk, "+cf", tps.authorities, port]
    with subprocess.Popen([str(each) for each in command]) as process:
        _wait_for(port)
        yield port, folder
        process.kill()


def _wait_for(port, tries=200):
    for _ in range(tries):
        try:
            socket.create_connection((HERE, port)).close()
        except OSError:
            threading.Event().wait(0.05)
        else:
            return


def test_a_result_goes_to_a_node_over_tls(tls_node, parties, instance, tmp_path):
    port, folder = tls_node
    path = tmp_path / "1.dcm"
    path.write_bytes(instance())
    client = parties["ours"].client(parties["ours"].authorities)
    assert len(send([path], Node(ae_title="TPS", host=HERE, port=port, tls=client), calling_ae="P")) == 1
    assert len(list(folder.iterdir())) == 1
    wrong = parties["ours"].client(parties["ours"].authorities, name="pacs.example")
    with pytest.raises(DeliveryError, match="certificate is not accepted: Hostname mismatch"):
        send([path], Node(ae_title="TPS", host=HERE, port=port, tls=wrong), calling_ae="P")


def test_echo_says_what_is_wrong_with_tls(tls_node, parties, secured, monkeypatch):
    def echo(party="ours", *, authorities="ours", port=tls_node[0], **node):
        entry = {"ae_title": "TPS", "host": HERE, "port": port, "tls": True, **node}
        tls = {
            "certificate": str(parties[party].certificate),
            "key": str(parties[party].key),
            "authorities": str(parties[authorities].authorities),
        }
        monkeypatch.setenv("PENUMBRA_NODES", json.dumps([entry]))
        monkeypatch.setenv("PENUMBRA_DICOM_TLS", json.dumps(tls))
        return CliRunner().invoke(app, ["peers", "echo"]).stdout

    assert "answers" in echo()
    assert "answers" in echo(tls_name="tps.example")
    assert "Hostname mismatch" in echo(tls_name="pacs.example")
    assert "self-signed certificate in certificate chain" in echo(authorities="stranger")
    assert "no TLS connection: tlsv" in echo("stranger")
    assert "could not be reached. Check" in echo(port=free_port(HERE))
    assert "could not be reached" in echo(tls=False)


def test_doctor_asks_a_node_over_tls_too(tls_node, secured):
    node = NodeSettings(ae_title="TPS", host=HERE, port=tls_node[0], tls=True)
    found = check_connections(secured.model_copy(update={"nodes": (node,)}))
    assert [each.ok for each in found if each.what == "node TPS"] == [True]


def test_claims_of_deliveries_carry_tls(secured, parties):
    node = NodeSettings(ae_title="TPS", host="192.0.2.10", port=2762, tls=True)
    client = secured.client_tls(node)
    assert (client.name, client.certificate) == ("192.0.2.10", parties["ours"].certificate)
    assert secured.client_tls(node.model_copy(update={"tls": False})) is None


def test_settings_that_cannot_keep_what_they_promise_are_refused(secured, parties, tmp_path):
    tls = secured.dicom_tls.model_dump()
    node = NodeSettings(ae_title="TPS", host="h", port=104, tls=True)
    pinned = PeerSettings(ae_title="TPS", addresses=["192.0.2.1"], certificate_sha256="ab" * 32)
    for said, wrong in {
        "needs authorities": {"dicom_tls": {**tls, "authorities": None}},
        "cannot be used: key values mismatch": {"dicom_tls": {**tls, "key": parties["tps"].key}},
        "cannot be used: No such file": {"dicom_tls": {**tls, "key": tmp_path / "none"}},
        "node with tls": {"nodes": [node]},
        "dicom_tls is not set": {"peers": [pinned]},
        "mutual is false": {"peers": [pinned], "dicom_tls": {**tls, "mutual": False}},
        "PENUMBRA_PEERS": {"dicom_tls": {**tls, "host": "192.0.2.1"}},
    }.items():
        with pytest.raises(ValidationError, match=said):
            ServiceSettings(**wrong)
    with pytest.raises(ValidationError, match="64 hexadecimal"):
        PeerSettings(ae_title="TPS", addresses=["192.0.2.1"], certificate_sha256="ab")


def test_children_read_tls_back(secured, monkeypatch):
    for name, value in secured.environment().items():
        monkeypatch.setenv(name, value)
    assert ServiceSettings().dicom_tls == secured.dicom_tls
