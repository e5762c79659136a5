"""Every DICOM entrance tried by everybody: strangers, peers that come the wrong way, peers with too few rights.

Each is tried in a presentation context of its own and, where the listener grants none, in that of C-ECHO, which
every peer gets. What comes out is the table in docs/users/peers.md; where it differs, run this file with
PENUMBRA_WRITE_DOCS=1 and look at the change.
"""

import shutil
import socketserver
import threading
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, RTStructureSetStorage, generate_uid
from pynetdicom import AE, _config, build_role
from pynetdicom import sop_class as classes
from sqlalchemy import select

from service.database import open_database
from service.faults.small_series import make_series
from service.inbox import Inbox
from service.listener import IMAGE_CLASSES, TRANSFER_SYNTAXES, make_server
from service.peer_settings import PeerSettings
from service.probes import free_port
from service.records import AuditRecord, InstanceRecord
from service.settings import ServiceSettings

PAGE = Path(__file__).parents[2] / "docs" / "users" / "peers.md"
BEGIN, END = "<!-- made by tests/service/test_dicom_matrix.py -->", "<!-- end -->"
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.77"
STORED, NO_SUCH_TRANSACTION = 0x0000, 0x0115
NOT_SUPPORTED, NO_SUCH_CLASS = 0x0122, 0x0118  # PS3.4 B.2.3, PS3.7 C.5
COMMITMENT = classes.StorageCommitmentPushModel
ANYWHERE = {"addresses": ["127.0.0.1"]}
CALLERS = {
    "unknown title": ("STRANGER", {}),
    "other address": ("TPS", {"bind_address": (ELSEWHERE, 0)}),
    "other called title": ("TPS", {"ae_title": "OTHER"}),
    "no TLS": ("SECURED", {}),
    "other certificate": ("PINNED", {"party": "other"}),
    "no right": ("ECHO", {}),
    "`commit`": ("PACS", {}),
    "`store`": ("SCANNER", {}),
    "`store`, `commit`": ("TPS", {}),
    "its certificate": ("PINNED", {"party": "tps"}),
}
QUERIES = {
    "C-FIND": [classes.StudyRootQueryRetrieveInformationModelFind, classes.ModalityWorklistInformationFind],
    "C-MOVE": [classes.StudyRootQueryRetrieveInformationModelMove],
    "C-GET": [classes.StudyRootQueryRetrieveInformationModelGet],
}
QUERIES["C-FIND"].append(classes.PatientRootQueryRetrieveInformationModelFind)


@pytest.fixture(scope="module")
def settings(tmp_path_factory, parties):
    """Both ports, and a peer for every right."""
    ours, pin = parties["ours"], parties["tps"].sha256
    tls = {"certificate": ours.certificate, "key": ours.key, "authorities": ours.authorities}
    peers = (
        PeerSettings(ae_title="TPS", **ANYWHERE),
        PeerSettings(ae_title="SECURED", tls=True, **ANYWHERE),
        PeerSettings(ae_title="PINNED", certificate_sha256=pin, **ANYWHERE),
        PeerSettings(ae_title="ECHO", rights=[], **ANYWHERE),
        PeerSettings(ae_title="PACS", rights=["commit"], **ANYWHERE),
        PeerSettings(ae_title="SCANNER", rights=["store"], **ANYWHERE),
    )
    return ServiceSettings(
        data_dir=tmp_path_factory.mktemp("matrix"),
        min_free_bytes=1000,
        dicom_port=free_port(HERE),
        dicom_tls={**tls, "port": free_port(HERE)},
        peers=peers,
    )


@pytest.fixture(scope="module")
def database(settings, empty_database):
    shutil.copy(empty_database, settings.data_dir)
    database = open_database(settings)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def listener(settings, database):
    """Returns the SOP classes that it offers."""
    inbox = Inbox(settings, database)
    servers = [make_server(settings, inbox), make_server(settings, inbox, tls=settings.dicom_tls)]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield {UID(str(each.abstract_syntax)) for server in servers for each in server.ae.supported_contexts}
    for server in servers:
        socketserver.BaseServer.shutdown(server)
        server.server_close()
    _config.ENFORCE_UID_CONFORMANCE = False


class Visitor:
    """Comes as somebody and tries one thing after the other."""

    def __init__(self, settings, parties, caller):
        self.title, options = CALLERS[caller]
        self.options = {"ae_title": "PENUMBRA", **options}
        party = self.options.pop("party", None)
        self.port = settings.dicom_port
        if party is not None:
            self.port = settings.dicom_tls.port
            tls = parties[party].client(parties["ours"].authorities)
            self.options["tls_args"] = tls.arguments()

    def status(self, sop_class, send):
        """What is answered to a request: a status, or None where there is no answer."""
        entity = AE(ae_title=self.title)
        entity.acse_timeout = entity.dimse_timeout = 30
        entity.add_requested_context(classes.Verification, TRANSFER_SYNTAXES[0])
        if sop_class != classes.Verification:
            entity.add_requested_context(sop_class, TRANSFER_SYNTAXES[0])
        roles = [build_role(sop_class, scu_role=True, scp_role=True)] if sop_class == COMMITMENT else []
        association = entity.associate(HERE, self.port, ext_neg=roles, **self.options)
        if not association.is_established:
            return None
        granted = {each.abstract_syntax: each for each in association.accepted_contexts}
        if sop_class not in granted:
            association._get_valid_context = lambda *_, **__: granted[classes.Verification]
        try:
            return send(association)
        finally:
            association.release()


def store(sop_class):
    """Sends an instance that was never sent before."""

    def send(association):
        (dataset,) = make_series(1)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
        if sop_class == RTStructureSetStorage:
            del dataset.Rows, dataset.Columns, dataset.PixelData
            dataset.Modality, dataset.StructureSetROISequence = "RTSTRUCT", []
        return association.send_c_store(dataset).get("Status")

    return send


def report(association):
    """Storage commitment, of a transaction that nobody asked for."""
    information = Dataset()
    information.TransactionUID, information.ReferencedSOPSequence = generate_uid(), []
    answer, _ = association.send_n_event_report(
        information, 1, COMMITMENT, classes.StorageCommitmentPushModelInstance
    )
    return {NO_SUCH_TRANSACTION: STORED}.get(answer.get("Status"), answer.get("Status"))  # it was looked up


def ask_to_commit(association):
    wanted = Dataset()
    wanted.TransactionUID, wanted.ReferencedSOPSequence = generate_uid(), []
    answer, _ = association.send_n_action(wanted, 1, COMMITMENT, classes.StorageCommitmentPushModelInstance)
    return answer.get("Status")


def query(kind, model):
    keys = Dataset()
    keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", ""
    to = ("STRANGER",) if kind == "C-MOVE" else ()

    def send(association):
        answers = getattr(association, f"send_{kind.lower().replace('-', '_')}")(keys, *to, query_model=model)
        return next(iter(answers))[0].get("Status")

    return send


def entrances():
    """(operation, SOP class) -> what tries it."""
    found = {("C-ECHO", classes.Verification): lambda association: association.send_c_echo().get("Status")}
    for sop_class in (*IMAGE_CLASSES, RTStructureSetStorage):
        found["C-STORE", sop_class] = store(sop_class)
    found["N-EVENT-REPORT", COMMITMENT] = report
    found["N-ACTION", COMMITMENT] = ask_to_commit
    return found | {(kind, model): query(kind, model) for kind, models in QUERIES.items() for model in models}


@pytest.fixture(scope="module")
def answers(settings, listener, parties):
    """(operation, SOP class) -> caller -> status."""
    visitors = {caller: Visitor(settings, parties, caller) for caller in CALLERS}
    return {
        entrance: {who: each.status(entrance[1], send) for who, each in visitors.items()}
        for entrance, send in entrances().items()
    }


@pytest.fixture(scope="module")
def tried(answers):
    """(operation, SOP class) -> the callers that it was done for."""
    return {
        entrance: [who for who, status in given.items() if status == STORED]
        for entrance, given in answers.items()
    }


def test_strangers_and_who_comes_the_wrong_way_get_nothing(tried):
    barred = {"unknown title", "other address", "other called title", "no TLS", "other certificate"}
    assert len(tried) >= 14
    assert {who for let_in in tried.values() for who in let_in} == set(CALLERS) - barred


def test_too_weak_a_right_does_no_more_than_it_says(tried):
    done = {who: {operation for (operation, _), let_in in tried.items() if who in let_in} for who in CALLERS}
    assert done["no right"] == {"C-ECHO"}
    assert done["`commit`"] == {"C-ECHO", "N-EVENT-REPORT"}
    assert done["`store`"] == {"C-ECHO", "C-STORE"}
    assert done["`store`, `commit`"] == done["its certificate"] == {"C-ECHO", "C-STORE", "N-EVENT-REPORT"}


@pytest.mark.parametrize(
    ("operation", "callers", "refusal"),
    [
        ("C-STORE", ("no right", "`commit`"), NOT_SUPPORTED),
        ("N-EVENT-REPORT", ("no right", "`store`"), NO_SUCH_CLASS),
    ],
)
def test_a_request_in_the_context_of_c_echo_is_refused_by_the_standards_status(
    answers, operation, callers, refusal
):
    given = [answers[entrance] for entrance in answers if entrance[0] == operation]
    assert {statuses[who] for statuses in given for who in callers} == {refusal}


def test_requests_outside_their_context_are_in_the_audit_log(answers, database):
    with database.read() as session:
        failures = session.scalars(select(AuditRecord).where(AuditRecord.outcome == "failure")).all()
    trespassers = {row.actor for row in failures if "request outside its context" in row.detail}
    assert {title for title in ("ECHO", "PACS", "SCANNER") if any(title in who for who in trespassers)} == {
        "ECHO", "PACS", "SCANNER",
    }  # fmt: skip


def test_what_was_refused_is_not_kept_and_what_was_taken_is(tried, database):
    with database.read() as session:
        senders = list(session.scalars(select(InstanceRecord.sender)))
        refused = session.scalars(select(AuditRecord.actor).where(AuditRecord.outcome == "failure")).all()
    kinds = len(IMAGE_CLASSES) + 1
    assert {who: senders.count(who) for who in senders} == {"SCANNER": kinds, "TPS": kinds, "PINNED": kinds}
    assert any("STRANGER" in actor for actor in refused)


def test_all_that_the_listener_offers_is_tried(tried, listener):
    assert {UID(str(sop_class)) for _, sop_class in tried} >= listener


def table(tried):
    lines = ["| entrance | " + " | ".join(CALLERS) + " |", "|---|" + "---|" * len(CALLERS)]
    for (operation, sop_class), let_in in tried.items():
        cells = ["yes" if who in let_in else "no" for who in CALLERS]
        lines.append(f"| {operation}: {UID(str(sop_class)).name.partition(' - ')[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_table_in_the_docs_is_what_was_tried(tried, documented):
    documented(PAGE, table(tried), between=(BEGIN, END))
