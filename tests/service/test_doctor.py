"""The doctor finds what is wrong, says it in words with a remedy, and changes nothing."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from sqlalchemy import text, update
from typer.testing import CliRunner

from service import doctor
from service.broker import server_binary
from service.checks import connections, software, storage
from service.cli import app
from service.figure_records import WorkerRecord
from service.physics.doctor import doctor as command
from service.records import DeliveryRecord, JobEventRecord
from service.retention_settings import RetentionSettings
from service.settings import NodeSettings
from worker.ledger import Outcome

SERIES = "1.2.826.0.1.3680043.10.999.7"


@pytest.fixture
def changed(settings):
    """These settings, but: `changed(api_port=0)`. Ports and nodes are nobody's."""
    quiet = {"api_port": 0, "dicom_port": 0, "nodes": ()}
    return lambda **given: settings.model_copy(update={**quiet, **given})


def named(findings, what):
    """The one finding of that name."""
    (found,) = [each for each in findings if each.what == what]
    return found


def problems(findings):
    return {each.what: each for each in findings if not each.ok}


def test_all_is_well_where_all_is_well_and_nothing_is_written(changed, tmp_path):
    settings = changed(data_dir=tmp_path / "nowhere", min_free_bytes=0)
    findings = list(doctor.examine(settings))
    assert problems(findings) == {}
    assert not settings.data_dir.exists()
    about = {each.what for each in findings}
    assert about >= {
        "Penumbra",
        "packages",
        "libraries",
        "SQLite",
        "decoders",
        "bundle phantom-small",
        "device",
    }
    assert about >= {"free space", "data folder", "database", "broker", "clock", "REST", "DICOM", "retention"}


def test_every_problem_says_what_to_do(changed, database):
    settings = changed(
        min_free_bytes=2**62,
        broker_url="redis://127.0.0.1:1/0",
        nodes=(NodeSettings(ae_title="TPS", host="127.0.0.1", port=1),),
        bundle="unheard-of",
    )
    found = problems(doctor.examine(settings))
    assert {"free space", "broker", "node TPS", "bundle"} <= set(found)
    assert all(each.remedy for each in found.values())


def test_a_changed_weight_file_is_found(changed, tmp_path, root_bundle):
    folder = tmp_path / "bundles" / "spoiled"
    root_bundle(folder)
    weights = folder / "bladder.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    found = problems(software.check_software(changed(bundles_dir=folder.parent)))
    assert any(name.startswith("bundle") for name in found)


@pytest.fixture
def root_bundle():
    shipped = Path(software.__file__).parents[2] / "models" / "bundles" / "phantom-small"
    return lambda folder: shutil.copytree(shipped, folder)


def test_a_library_of_a_wrong_version_is_found(changed, monkeypatch):
    real = software.importlib.metadata.requires
    monkeypatch.setattr(
        software.importlib.metadata, "requires", lambda name: [*real(name), "pydicom<2", "unheard-of"]
    )
    detail = problems(software.check_software(changed()))["libraries"].detail
    assert "pydicom is" in detail and "unheard-of is missing" in detail


def test_a_gpu_that_pytorch_cannot_use_is_found(changed, monkeypatch):
    gpu = {"index": 0, "model": "H100", "driver": "590", "memory_used_bytes": 0, "memory_total_bytes": 2**36}
    monkeypatch.setattr(software, "read_gpus", lambda: [gpu])
    monkeypatch.setattr(software, "choose_device", lambda _: type("Cpu", (), {"type": "cpu"}))
    findings = list(software.check_software(changed()))
    assert "H100" in named(findings, "GPU 0").detail
    assert "CUDA build" in problems(findings)["device"].remedy
    assert "device" not in problems(software.check_software(changed(device="cpu")))


def test_a_decoder_that_is_missing_is_found(changed, monkeypatch):
    monkeypatch.setattr(software, "get_decoder", lambda _: type("None", (), {"available_plugins": ()}))
    assert "JPEG" in problems(software.check_software(changed()))["decoders"].detail


def test_a_data_folder_open_to_others_is_found(changed, database, settings):
    settings.data_dir.chmod(0o700)
    assert "data folder" not in problems(storage.check_storage(changed()))
    settings.data_dir.chmod(0o755)
    assert "chmod 700" in problems(storage.check_storage(changed()))["data folder"].remedy


def test_sqlite_on_a_network_file_system_is_found(changed, database, monkeypatch):
    monkeypatch.setattr(storage, "_file_system_of", lambda _: "nfs4")
    assert "PostgreSQL" in problems(storage.check_storage(changed()))["file system"].remedy
    assert "file system" not in problems(storage.check_storage(changed(database_url="postgresql://x/y")))


def test_a_slow_disk_and_one_without_links_are_found(changed, database, monkeypatch):
    monkeypatch.setattr(storage, "_flush_s", lambda _: 0.5)
    found = problems(storage.check_storage(changed()))
    assert "500.0 ms" in found["writing"].detail
    assert "hard links" in found


def test_a_port_in_other_hands_is_found(changed):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = problems(connections.check_connections(changed(api_port=port)))
        assert "not Penumbra" in found["REST"].detail


def test_a_damaged_database_is_found(changed, database, settings):
    database.dispose()
    (settings.data_dir / "penumbra.sqlite").write_bytes(b"no database" * 1000)
    assert "database" in problems(connections.check_connections(changed()))


def test_queued_jobs_without_a_worker_are_found(changed, receive, jobs, database):
    receive()
    jobs.submit(SERIES)
    assert "Start a worker" in problems(connections.check_connections(changed()))["workers"].remedy
    with database.write() as session:
        session.add(WorkerRecord(name="w", host="h", queue="gpu", seen_at=time.time(), devices=[]))
    assert "workers" not in problems(connections.check_connections(changed()))
    with database.write() as session:
        session.execute(update(JobEventRecord).values(at=JobEventRecord.at - 1900))
    assert "0.5 h" in problems(connections.check_connections(changed()))["workers"].detail


def test_deliveries_given_up_are_found(changed, receive, jobs, ledger, database):
    receive()
    claim = ledger.claim(jobs.submit(SERIES).id, "one")
    ledger.publish(claim, Outcome("done"))
    with database.write() as session:
        session.execute(update(DeliveryRecord).values(state="failed"))
    assert problems(connections.check_connections(changed()))["deliveries"].detail.startswith("1 ")


def test_a_clock_that_differs_is_found():
    assert connections._agree("broker's clock", time.time() + 0.5).ok
    late = connections._agree("broker's clock", time.time() - 60)
    assert not late.ok and "-60 s" in late.detail


def test_a_real_broker_answers_and_one_that_evicts_is_found(changed, tmp_path):
    path = tmp_path / "s.sock"
    command = [server_binary(), "--port", "0", "--unixsocket", path, "--maxmemory-policy", "allkeys-lru"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        while not path.exists():
            time.sleep(0.05)
        url = f"redis+socket://{path}?virtual_host=0"
        findings = [
            each for each in connections.check_connections(changed(broker_url=url)) if "roker" in each.what
        ]
        assert [each.ok for each in findings] == [True, False, True]
        assert "noeviction" in findings[1].remedy
    finally:
        process.kill()
        process.wait()


def test_room_made_too_late_is_found(changed):
    rules = RetentionSettings(make_room_below_bytes=100)
    found = problems(doctor.examine(changed(retention=rules, min_free_bytes=1000)))
    assert "retention" in found


def test_as_json_for_programs(changed, tmp_path, monkeypatch):
    if not any(each.callback is command for each in app.registered_commands):
        app.command()(command)
    monkeypatch.setenv("PENUMBRA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PENUMBRA_MIN_FREE_BYTES", str(2**62))
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    found = {each["what"]: each for each in json.loads(done.stdout)}
    assert found["free space"]["ok"] is False and found["free space"]["remedy"]


def test_looking_at_an_old_database_does_not_change_it(changed, settings, database):
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    found = named(connections.check_connections(changed()), "database")
    assert found.ok and "next start" in found.detail
    with database.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
