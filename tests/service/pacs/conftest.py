"""Debian's Orthanc as an archive, and the listener of this process as the node it talks to."""

import json
import shutil
import socketserver
import subprocess
import threading
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from pynetdicom import _config

from service.inbox import Inbox
from service.listener import make_server
from service.probes import free_port
from service.settings import NodeSettings

ORTHANC = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
PATIENCE_S = 60.0


@dataclass
class Archive:
    """A running Orthanc."""

    http_port: int
    dicom_port: int

    def ask(self, method, path, **request):
        answer = httpx.request(method, f"http://127.0.0.1:{self.http_port}{path}", timeout=60, **request)
        answer.raise_for_status()
        return answer.json()

    def take(self, *instances):
        """Give it instances (Part 10 bytes)."""
        for data in instances:
            self.ask("POST", "/instances", content=data)

    def find(self, level, **query):
        body = {"Level": level, "Query": query, "Expand": True}
        return self.ask("POST", "/tools/find", json=body)

    def forget(self, series_uid, sop_uid):
        """Delete one instance."""
        (found,) = self.find("Instance", SeriesInstanceUID=series_uid, SOPInstanceUID=sop_uid)
        self.ask("DELETE", f"/instances/{found['ID']}")

    def push(self, series_uid):
        """C-STORE a series to us, as somebody would from its page."""
        (found,) = self.find("Series", SeriesInstanceUID=series_uid)
        return self.ask("POST", "/modalities/penumbra/store", json={"Resources": [found["ID"]]})


@pytest.fixture(scope="session")
def listener_port():
    return free_port("127.0.0.1")


@pytest.fixture(scope="session")
def start_orthanc(tmp_path_factory):
    """Start an Orthanc that knows us on that port; it ends with the session. Keywords are further settings of its."""
    if not Path(ORTHANC).exists():
        pytest.skip("Orthanc is not installed")
    processes = []

    def start(penumbra_port, *, penumbra=None, **more):
        folder = tmp_path_factory.mktemp("orthanc")
        archive = Archive(free_port("127.0.0.1"), free_port("127.0.0.1"))
        known = {"AET": "PENUMBRA", "Host": "127.0.0.1", "Port": penumbra_port, **(penumbra or {})}
        configuration = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "HttpPort": archive.http_port,
            "DicomPort": archive.dicom_port,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowMove": True,
            "DicomAlwaysAllowGet": True,
            "DicomModalities": {"penumbra": known},
            "ConcurrentJobs": 2,
            "JobsHistorySize": 100,
            "Plugins": [],
            **more,
        }
        file = folder / "orthanc.json"
        file.write_text(json.dumps(configuration))
        with (folder / "log").open("wb") as log:
            processes.append(subprocess.Popen([ORTHANC, str(file)], stdout=log, stderr=log))
        _wait_for(archive, processes[-1], folder / "log")
        return archive

    yield start
    for process in processes:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def orthanc(start_orthanc, listener_port):
    """One Orthanc for all tests; each uses series of its own."""
    return start_orthanc(listener_port)


def _wait_for(archive, process, log):
    for _ in range(int(PATIENCE_S * 10)):
        assert process.poll() is None, log.read_text()
        try:
            archive.ask("GET", "/system")
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


@pytest.fixture
def node(orthanc):
    """Orthanc as the settings know it; it confirms what it has stored."""
    return NodeSettings(ae_title="ORTHANC", host="127.0.0.1", port=orthanc.dicom_port, commitment=True)


@pytest.fixture
def settings(settings, node, listener_port):
    pacs = settings.pacs.model_copy(update={"pull_settle_s": 0.5, "pull_attempts": 1})
    update = {"nodes": (node,), "dicom_port": listener_port, "pacs": pacs, "quiet_period_s": 0.05}
    return settings.model_copy(update=update)


@pytest.fixture
def listener(settings, database):
    server = make_server(settings, Inbox(settings, database))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    socketserver.BaseServer.shutdown(server)
    server.server_close()
    _config.ENFORCE_UID_CONFORMANCE = False


def make_rtstruct(series_uid, number=1):
    """Bytes of a small RTSTRUCT (Part 10) about a CT series."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{series_uid}.77.{number}"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SeriesInstanceUID = f"{series_uid}.77"
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.10.999"
    dataset.PatientName, dataset.PatientID = "ZZPHIMARK^A", "ZZPHIMARK"
    dataset.Modality, dataset.StructureSetLabel = "RTSTRUCT", "EDITED"
    item = Dataset()
    item.ROINumber, item.ROIName = 1, "CTVsb"
    dataset.StructureSetROISequence = [item]
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture
def rtstruct():
    return make_rtstruct


@pytest.fixture
def eventually():
    def ask(question, what="it"):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if answer := question():
                return answer
            time.sleep(0.05)
        raise AssertionError(f"{what} did not happen")

    return ask


@pytest.fixture
def read():
    return lambda data: dcmread(BytesIO(data))
