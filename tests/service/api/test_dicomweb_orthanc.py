"""Orthanc, Debian's, with its DICOMweb plugin as a client: it stores, searches and fetches."""

import json
import shutil
import subprocess
import time
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
RTSTRUCT = "1.2.826.0.1.3680043.10.999.56"
PENUMBRA = "/dicom-web/servers/penumbra"

pytestmark = pytest.mark.skipif(
    shutil.which("Orthanc") is None or not PLUGIN.exists(),
    reason="Orthanc with its DICOMweb plugin is missing",
)


@pytest.fixture
def orthanc(tmp_path, server, free_port):
    """A running Orthanc that knows our server as `penumbra`."""
    settings = {
        "Name": "ORTHANC",
        "HttpPort": free_port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": False,
        "StorageDirectory": str(tmp_path / "storage"),
        "IndexDirectory": str(tmp_path / "storage"),
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Servers": {"penumbra": {"Url": f"{server.url}/dicomweb/"}}},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{free_port}", timeout=60)
    try:
        _wait_for(client)
        yield client
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(client):
    for _ in range(300):
        try:
            if client.get("/system").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("Orthanc did not start")


def test_orthanc_stores_searches_and_fetches(orthanc, server_worker, make_files, tmp_path) -> None:
    slices = [path.read_bytes() for path in make_files(tmp_path / "ct", seed="orthanc-web", slices=3)]
    ct = dcmread(BytesIO(slices[0]))
    added = [orthanc.post("/instances", content=data).json() for data in slices]
    stored = orthanc.post(
        f"{PENUMBRA}/stow", json={"Resources": [added[0]["ParentSeries"]], "Synchronous": True}
    )
    assert stored.status_code == 200, stored.text
    job = server_worker.jobs.submit(str(ct.SeriesInstanceUID))
    assert (job.sender, job.instance_count) == ("dicomweb", 3)

    server_worker.run(job.id)
    result = server_worker.settings.jobs_dir / job.id / "result" / "rtstruct.dcm"
    ct.SOPClassUID = ct.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = f"{RTSTRUCT}.1"
    ct.SeriesInstanceUID, ct.Modality = RTSTRUCT, "RTSTRUCT"
    del ct.PixelData, ct.Rows, ct.Columns
    ct.save_as(result, enforce_file_format=True)

    found = orthanc.post(
        f"{PENUMBRA}/qido",
        json={"Uri": f"/studies/{ct.StudyInstanceUID}/series", "Arguments": {"Modality": "RTSTRUCT"}},
    ).json()
    assert [each["0020000E"]["Value"] for each in found] == [RTSTRUCT]
    fetched = orthanc.post(
        f"{PENUMBRA}/retrieve",
        json={"Resources": [{"Study": ct.StudyInstanceUID, "Series": RTSTRUCT}], "Synchronous": True},
    )
    assert fetched.status_code == 200, fetched.text
    everything = orthanc.get("/instances?expand").json()
    assert f"{RTSTRUCT}.1" in {each["MainDicomTags"]["SOPInstanceUID"] for each in everything}
