"""A planning system sends a series and gets the RTSTRUCT back, with DCMTK as that system."""

import subprocess

import pytest
from pydicom import dcmread
from pydicom.uid import MRImageStorage
from sqlalchemy import create_engine, inspect, text

MARKER = b"ZZPHIMARK"

pytestmark = pytest.mark.xdist_group("system")


def test_rtstruct_goes_back_to_the_sender_once_it_listens(system, eventually, store_scp, written_series):
    series_uid, folder = written_series
    command = ["/usr/bin/storescu", "-aet", "PLANNER", "-aec", "PENUMBRA", "+sd"]
    subprocess.run([*command, "127.0.0.1", str(system.state()["dicom_port"]), str(folder)], check=True)
    job = system.wait_for(series_uid, "done")
    assert job.sender == "PLANNER"
    eventually(lambda: system.jobs.get(job.id).deliveries[0].last_error, what="a failed delivery")
    with store_scp(system.nodes["PLANNER"], "PLANNER") as received:
        eventually(lambda: system.jobs.get(job.id).deliveries[0].state == "delivered", what="delivery")
        (path,) = received.iterdir()
    delivered = dcmread(path)
    assert delivered.Modality == "RTSTRUCT"
    assert delivered.StudyInstanceUID == f"{series_uid}.0"
    assert delivered.SOPInstanceUID == dcmread(job.result_dir / "rtstruct.dcm").SOPInstanceUID
    assert system.jobs.get(job.id).deliveries[0].last_error is None


def test_mr_series_is_taken_and_its_job_rejected(system):
    series_uid = system.new_series(SOPClassUID=MRImageStorage, Modality="MR")
    job = system.wait_for(series_uid, "rejected", "done", "failed")
    assert (job.state, job.reason["code"]) == ("rejected", "not-ct")
    assert not (job.result_dir / "rtstruct.dcm").exists()


def test_patient_data_is_in_no_log_no_queue_and_no_table(system):
    series_uid = system.new_series()
    system.wait_for(series_uid, "done")
    places = [*system.data_dir.glob("*.log"), *system.data_dir.glob("logs/*")]
    places += [*system.data_dir.glob("redis/**/*.aof"), *system.data_dir.glob("penumbra.sqlite*")]
    assert len(places) > (8 if system.redis is None else 6)
    assert [place.name for place in places if MARKER in place.read_bytes()] == []
    if system.redis is not None:
        found = dumped(system.options["PENUMBRA_DATABASE_URL"])
        assert series_uid.encode() in found, "the tables are looked at"
        assert MARKER not in found and MARKER.hex().encode() not in found


def dumped(url):
    """All rows of all tables of a PostgreSQL, bytes in hexadecimal."""
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        rows = [connection.scalars(text(f'SELECT row::text FROM "{table}" row')).all() for table in tables]
    engine.dispose()
    return "\n".join(row for found in rows for row in found).encode()
