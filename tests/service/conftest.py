"""Small DICOM instances and an open database, for the tests of intake and jobs."""

import hashlib
import os
import shutil
import socketserver
import ssl
import threading
from datetime import UTC, datetime, timedelta
from io import BytesIO

import numpy as np
import pytest
import trustme
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import _config
from sqlalchemy import create_engine, insert, select

from service.database import open_database
from service.faults.postgres import PostgresMissing, running_postgres
from service.inbox import Inbox
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.listener import make_server
from service.records import Record
from service.settings import NodeSettings, ServiceSettings
from worker.bundle_card import BundleCard
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.dicom_tls import ClientTls
from worker.figures import figures_of
from worker.grid import Grid
from worker.patient_study import ObjectIdentity
from worker.result import Result, StructureResult
from worker.result_file import done_document, write_document
from worker.review import review_of
from worker.review_document import write_review
from worker.rtstruct import write_and_prove
from worker.series import read_series
from worker.slice_pack import write_slices

SERIES = "1.2.826.0.1.3680043.10.999.7"
MARKER = "ZZPHIMARK"
TABLES = tuple(reversed(Record.metadata.sorted_tables))
LOOPBACK = "127.0.0.1"


def make_instance(series_uid=SERIES, number=1, *, value=0, syntax=ExplicitVRLittleEndian, **attributes):
    """Bytes of one small CT slice (Part 10). `attributes` replace or add DICOM attributes."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{series_uid}.{number}"
    dataset.SeriesInstanceUID = series_uid
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.10.999"
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.999.99"
    dataset.Modality = "CT"
    dataset.PatientName = f"{MARKER}^A"
    dataset.PatientID = MARKER
    dataset.PatientBirthDate = "19500101"
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [0, 0, 3 * number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [1, 1]
    dataset.Rows = dataset.Columns = 16
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    dataset.PixelData = np.full((16, 16), value, np.int16).tobytes()
    for name, content in attributes.items():
        setattr(dataset, name, content)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture
def instance():
    """The maker of instances."""
    return make_instance


@pytest.fixture
def implicit():
    return ImplicitVRLittleEndian


@pytest.fixture
def settings(tmp_path, database_url):
    """Settings with short times, nodes TPS and ARCHIVE."""
    return ServiceSettings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        quiet_period_s=0.3,
        lease_s=30,
        resend_s=30,
        min_free_bytes=1000,
        nodes=(
            NodeSettings(ae_title="TPS", host="127.0.0.1", port=1),
            NodeSettings(ae_title="ARCHIVE", host="127.0.0.1", port=2),
        ),
        delivery_pauses_s=(0.0, 60.0),
        delivery_attempts=3,
    )


def pytest_generate_tests(metafunc):
    """What is marked `both_databases` runs on SQLite and on PostgreSQL."""
    if "database_url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_databases"):
        metafunc.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def documented():
    """Holds a table against the one between two marks of a page, or writes it there where that is asked for."""

    def check(page, made, *, between):
        begin, end = between
        before, _, rest = page.read_text().partition(begin)
        shown, _, after = rest.partition(end)
        if os.environ.get("PENUMBRA_WRITE_DOCS"):
            page.write_text(f"{before}{begin}\n{made}\n{end}{after}")
        else:
            assert shown.strip() == made, "run this file with PENUMBRA_WRITE_DOCS=1"

    return check


@pytest.fixture
def database_url(request):
    """Where the database is; None is SQLite in the data folder, as everywhere in Penumbra."""
    kind = getattr(request, "param", os.environ.get("PENUMBRA_TEST_DATABASE", "sqlite"))
    return request.getfixturevalue("emptied_postgres") if kind == "postgresql" else None


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A file with the tables in it; made once, since Alembic is slow."""
    settings = ServiceSettings(data_dir=tmp_path_factory.mktemp("empty"))
    open_database(settings).dispose()
    return settings.data_dir / "penumbra.sqlite"


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for all tests of this process."""
    try:
        with running_postgres(fsync=False) as server:
            yield server
    except PostgresMissing:
        pytest.skip("PostgreSQL is not installed")


@pytest.fixture(scope="session")
def postgres_tables(postgres, tmp_path_factory):
    """A database with the tables in it, and the rows that they begin with."""
    url = postgres.url()
    open_database(ServiceSettings(data_dir=tmp_path_factory.mktemp("tables"), database_url=url)).dispose()
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = {table: connection.execute(select(table)).mappings().all() for table in TABLES}
    yield engine, {table: [dict(row) for row in found] for table, found in rows.items() if found}
    engine.dispose()


@pytest.fixture
def emptied_postgres(postgres_tables):
    """Its address, with the tables as they are at the beginning."""
    engine, first_rows = postgres_tables
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")  # the audit log only grows
        connection.exec_driver_sql(";".join(f'DELETE FROM "{table.name}"' for table in TABLES))
        for table, rows in first_rows.items():
            connection.execute(insert(table), rows)
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture
def database(settings, request):
    settings.data_dir.mkdir(parents=True)
    if settings.database_url is None:
        shutil.copy(request.getfixturevalue("empty_database"), settings.data_dir)
    database = open_database(settings)
    yield database
    database.dispose()


@pytest.fixture
def inbox(settings, database):
    return Inbox(settings, database)


@pytest.fixture
def jobs(settings, database):
    return Jobs(settings, database)


@pytest.fixture
def ledger(settings, database):
    return SqlLedger(settings, database)


@pytest.fixture
def receive(inbox):
    """Put a series of so many slices into the inbox, as the node TPS would."""

    def put(series_uid=SERIES, slices=3, first=1):
        for number in range(first, first + slices):
            inbox.receive(make_instance(series_uid, number), sender="TPS", source="dicom")
        return series_uid

    return put


@pytest.fixture
def serve():
    """Start DICOM listeners in this process; they end with the test."""
    servers = []

    def start(settings, inbox, **options):
        server = make_server(settings, inbox, **options)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        socketserver.BaseServer.shutdown(server)
        server.server_close()
    _config.ENFORCE_UID_CONFORMANCE = False


@pytest.fixture(scope="session")
def save_balls():
    """Write a prepared case of 3 mm voxels: structures as balls around these voxels (z, y, x)."""
    from models.structures import STRUCTURES
    from models.training.cases import Case, save_case

    def save(path, shape, centres, *, radius_mm):
        labels = np.zeros(shape, np.uint8)
        grid = np.ogrid[tuple(slice(n) for n in shape)]
        for name, centre in centres.items():
            ball = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) * 9 < radius_mm**2
            labels |= ball.astype(np.uint8) << [s.name for s in STRUCTURES].index(name)
        hu = np.where(labels > 0, 60, -90).astype(np.int16)
        save_case(Case(hu=hu, labels=labels, spacing_zyx_mm=(3.0, 3.0, 3.0)), path)

    return save


@pytest.fixture(scope="session")
def reviewed_files(tmp_path_factory):
    """The files of a result folder with a CTV and a bladder, made as in a job but without networks."""
    folder = tmp_path_factory.mktemp("reviewed")
    grid = Grid(
        size_xyz=(40, 40, 22),
        spacing_mm=(1.0, 1.0, 2.0),
        origin_mm=(-20.0, -20.0, -22.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        frame_of_reference_uid="2.25.7",
    )
    patient = PatientIdentity(patient_id="P-7", name="Doe^Jane")
    write_ct_series(
        np.zeros(grid.shape_zyx, np.int16), grid, folder / "ct", patient=patient, uid_seed="reviewed"
    )
    result = Result(
        series=read_series(folder / "ct"),
        structures=(_ball(grid, "CTV", 0, 10), _ball(grid, "Bladder", -12, 7)),
        bundle=BundleCard(
            name="phantom-small", version="0.4.0", sha256="ab" * 32, intended_use="research-phantom"
        ),
        passes=5,
        seed=0,
        device="cpu",
    )
    identity = ObjectIdentity(seed="j", created=datetime(2026, 11, 26, tzinfo=UTC))
    written = write_and_prove(result, folder / "rtstruct.dcm", identity=identity)
    write_slices(result.series.hu, folder / "slices.bin")
    figures = figures_of(result)
    write_review(review_of(result, figures, written), folder)
    write_document(done_document(result, figures, written), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _ball(grid, name, y_mm, radius_mm):
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape_zyx], indexing="ij")
    points = grid.to_patient(np.stack([x, y, z], axis=-1))
    away = np.linalg.norm(points - [0, y_mm, 0], axis=-1)

    def field(radius):
        return (1 / (1 + np.exp(np.clip(away - radius, -30, 30)))).astype(np.float32)

    return StructureResult(
        name=name,
        mean=field(radius_mm),
        lower=field(radius_mm - 3),
        upper=field(radius_mm + 3),
        level=0.5,
        quality=0.9,
        quality_validated=False,
    )


class Party:
    """A certificate and its key as PEM files, and the file of its authority."""

    def __init__(self, folder, authority, *names, **options):
        folder.mkdir()
        made = authority.issue_cert(*names, **options)
        self.certificate, self.key, self.authorities = (folder / f"{n}.pem" for n in ("cert", "key", "ca"))
        self.certificate.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        made.private_key_pem.write_to_path(self.key)
        authority.cert_pem.write_to_path(self.authorities)

    @property
    def sha256(self):
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        return hashlib.sha256(der).hexdigest()

    def client(self, authorities, name=LOOPBACK):
        return ClientTls(authorities=authorities, name=name, certificate=self.certificate, key=self.key)

    @property
    def dcmtk(self):
        return ["+tls", str(self.key), str(self.certificate)]


@pytest.fixture(scope="session")
def parties(tmp_path_factory):
    """Certificates: ours, a peer's, one that is out of date, and a stranger's of another authority."""
    root = tmp_path_factory.mktemp("certificates")
    clinic, elsewhere = trustme.CA(), trustme.CA()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return {
        "ours": Party(root / "ours", clinic, LOOPBACK),
        "tps": Party(root / "tps", clinic, LOOPBACK, "tps.example"),
        "other": Party(root / "other", clinic, "other.example"),
        "old": Party(root / "old", clinic, LOOPBACK, not_after=yesterday),
        "stranger": Party(root / "stranger", elsewhere, LOOPBACK),
    }
