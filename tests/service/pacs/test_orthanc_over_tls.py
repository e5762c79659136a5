"""Orthanc that speaks DICOM over mutual TLS only: it is pulled from, takes a result, and commits its storage."""

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from service.archive_query import ArchiveError, SeriesQuery
from service.commitment import Commitments
from service.inbox import Inbox
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.peer_settings import PeerSettings
from service.probes import free_port
from service.pulling import Pulling
from service.pulls import Pulls
from service.settings import ServiceSettings
from worker.job_folder import attempt_dir
from worker.ledger import Outcome
from worker.tasks import send_claimed

HERE = "127.0.0.1"
ROOT = "1.2.826.0.1.3680043.10.999.8"


@pytest.fixture(scope="module")
def tls_port():
    return free_port(HERE)


@pytest.fixture(scope="module")
def archive(start_orthanc, parties, tls_port):
    """It shows the certificate of `tps`, and asks for one by the same authority."""
    own = parties["tps"]
    return start_orthanc(
        tls_port,
        penumbra={"UseDicomTls": True},
        DicomTlsEnabled=True,
        DicomTlsCertificate=str(own.certificate),
        DicomTlsPrivateKey=str(own.key),
        DicomTlsTrustedCertificates=str(own.authorities),
        DicomTlsRemoteCertificateRequired=True,
    )


@pytest.fixture
def settings(settings, archive, parties, tls_port):
    """We listen to it over TLS only, and it must show its own certificate."""
    ours = parties["ours"]
    node = settings.nodes[0].model_copy(update={"port": archive.dicom_port, "tls": True})
    peer = PeerSettings(ae_title="ORTHANC", addresses=[HERE], certificate_sha256=parties["tps"].sha256)
    tls = {"certificate": ours.certificate, "key": ours.key, "authorities": ours.authorities}
    return ServiceSettings(
        **{**settings.model_dump(), "nodes": [node], "peers": [peer], "dicom_tls": {**tls, "port": tls_port}}
    )


@pytest.fixture
def listening(settings, database, serve):
    serve(settings, Inbox(settings, database), tls=settings.dicom_tls)


def pulled(settings, database, series_uid, method):
    (made,) = Pulls(settings, database).ask("ORTHANC", SeriesQuery(series_uid=series_uid), method)
    Pulling(settings, database).work()
    return Pulls(settings, database).get(made.id)


@pytest.mark.parametrize("method", ["move", "get"])
def test_a_series_is_pulled_over_tls(listening, archive, settings, database, inbox, instance, method):
    series_uid = f"{ROOT}.{len(method)}"
    archive.take(*(instance(series_uid, number) for number in range(1, 4)))
    ended = pulled(settings, database, series_uid, method)
    assert (ended.state, ended.announced, ended.received, ended.reason) == ("done", 3, 3, None)
    assert len(inbox.series(series_uid)) == 3


def test_a_result_and_its_commitment_go_over_tls(
    listening, archive, settings, database, receive, rtstruct, eventually
):
    series_uid = f"{ROOT}.9"
    receive(series_uid)
    jobs, ledger = Jobs(settings, database), SqlLedger(settings, database)
    claim = ledger.claim(jobs.submit(series_uid, sender="ORTHANC").id, "one")
    out = attempt_dir(claim.folder, claim.fence)
    out.mkdir()
    (out / "result.json").write_text("{}")
    (out / "rtstruct.dcm").write_bytes(rtstruct(series_uid))
    assert ledger.publish(claim, Outcome("done"))
    send_claimed(jobs.get(claim.job_id).deliveries[0].id, "one", ledger)
    (sent,) = jobs.get(claim.job_id).deliveries
    assert (sent.state, sent.stored, sent.commitment) == ("delivered", 1, "waiting")
    assert archive.find("Series", SeriesInstanceUID=f"{series_uid}.77")
    Commitments(settings, database).work()
    eventually(lambda: jobs.get(claim.job_id).deliveries[0].commitment == "committed", "commitment")


def test_without_tls_or_by_another_certificate_nothing_is_pulled(
    listening, archive, settings, database, parties
):
    entity = AE("PENUMBRA")
    entity.add_requested_context(Verification)
    assert not entity.associate(HERE, archive.dicom_port, ae_title="ORTHANC").is_established
    (node,) = settings.nodes
    stranger = settings.dicom_tls.model_copy(update={"authorities": parties["stranger"].authorities})
    for wrong in ({"nodes": (node.model_copy(update={"tls": False}),)}, {"dicom_tls": stranger}):
        with pytest.raises(ArchiveError):
            Pulls(settings.model_copy(update=wrong), database).find("ORTHANC", SeriesQuery(series_uid=ROOT))
