"""The short form of `penumbra bench faults`: one system, mistreated in turn, and whether the count would notice."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pynetdicom import _config
from sqlalchemy import text
from typer.testing import CliRunner

from service.faults import associations, hostile, postgres, run, surroundings
from service.faults.account import count_lost, count_up
from service.faults.clients import Receiver, Sender
from service.faults.moved_clock import MovedClock
from service.faults.rows import BEGIN, END, Fault, Row, write_rows
from service.faults.run import FAULTS, UnknownFault, run_faults
from service.faults.small_series import make_series
from service.faults.system import running_system
from service.physics.bench import bench

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver("TPS")
    with receiver.listening():
        yield receiver


@pytest.fixture(scope="module")
def system(tmp_path_factory, receiver):
    options = {"PASSES": "2", "QUIET_PERIOD_S": "0.7", "PDU_DEADLINE_S": "2"}
    with running_system(tmp_path_factory.mktemp("faults"), {"TPS": receiver.port}, **options) as system:
        yield system


def test_two_series_over_five_associations_are_two_whole_series(system):
    account = associations.interleave_two_series(system)
    assert account.kept, account
    assert (account.answered, account.done) == (2 * associations.SLICES, 2)


@pytest.mark.parametrize("abort", [True, False])
def test_a_broken_association_costs_nothing(system, abort):
    account = associations.break_off_and_send_again(system, abort=abort)
    assert account.kept, account
    assert account.answered == associations.SLICES


def test_a_series_again_is_fine_and_another_under_its_uids_is_not(system):
    account, refused = associations.repeat_and_contradict(system)
    assert account.kept, account
    assert refused == associations.SLICES


def test_a_broker_that_forgets_everything_costs_nothing(system):
    account = surroundings.push_while(system, surroundings.empty_broker, surroundings.empty_broker)
    assert account.kept, account
    assert account.done == surroundings.SERIES


def test_malformed_sessions_and_silent_sockets_keep_nobody_out(system):
    assert (siege := hostile.send_malformed(system, 150)).kept, siege
    assert (siege := hostile.hold_silent(system, 40)).kept, siege


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_uids_that_are_paths_are_not_taken(system, monkeypatch):
    monkeypatch.setattr(_config, "ENFORCE_UID_CONFORMANCE", False)  # or the library would refuse to send
    sent, taken = hostile.send_path_like_uids(system)
    assert (sent, taken) == (len(hostile.PATH_LIKE), 0)


def test_bombs_and_paths_out_of_an_archive_are_refused(system):
    statuses, grown = hostile.upload_bombs(system, megabytes=100)
    assert len(statuses) == 3
    assert all(400 <= status < 500 for status in statuses)
    assert grown < 80e6


def test_the_count_notices_a_lost_instance_a_changed_one_and_a_doubled_job(system, receiver):
    sender, series = Sender("TPS"), make_series(3, seed=99)
    sender.send_until_taken(series, system.dicom_port)
    sent = {str(series[0].SeriesInstanceUID): 3}
    surroundings.settle(system, sender, sent, receiver)
    assert count_up(system, sender, sent, receiver).kept
    first, second = (
        path
        for path in system.settings.inbox_dir.glob("*/*.dcm")
        if any(each.PixelData in path.read_bytes() for each in series[:2])
    )
    first.unlink()
    assert count_lost(system, sender.answered) == 1
    second.write_bytes(second.read_bytes()[:-4] + b"half")
    assert count_lost(system, sender.answered) == 2
    _double_the_job(system, next(iter(sent)))
    account = count_up(system, sender, sent, receiver)
    assert (account.lost, account.doubled, account.kept) == (2, 1, False)


def _double_the_job(system, series_uid):
    with system.database.write() as session:
        (job,) = session.execute(
            text("SELECT * FROM job WHERE series_uid = :uid"), {"uid": series_uid}
        ).mappings()
        row = {**job, "id": "twin", "dedup_key": "twin"}
        session.execute(text(f"INSERT INTO job ({', '.join(row)}) VALUES (:{', :'.join(row)})"), row)


def test_a_row_replaces_its_elder_and_leaves_the_others(tmp_path):
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    row = {"test": "t", "command": "c", "kept": True}
    write_rows(document, [Row(promise="P10", fault="bombs", figure="old", **row)])
    write_rows(document, [Row(promise="P2", fault="kills", figure="1 lost", **{**row, "kept": False})])
    write_rows(document, [Row(promise="P10", fault="bombs", figure="new", **row)])
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "old" not in text
    assert text.index("P2 | kills | **broken:** 1 lost") < text.index("P10 | bombs | new")


def test_a_clock_is_set_for_its_own_processes_alone(tmp_path):
    clock = MovedClock(tmp_path / "clock")
    code = "import time; print(time.time(), flush=True); input(); print(time.time(), time.monotonic())"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, **clock.environment()}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as process:
        assert float(process.stdout.readline()) == pytest.approx(time.time(), abs=60)
        clock.move(-5 * 3600)
        later, steady = map(float, process.communicate("\n")[0].split())
    assert later == pytest.approx(clock.now(), abs=60) == time.time() - 5 * 3600
    assert steady == pytest.approx(time.monotonic(), abs=60)


def test_a_fault_whose_tools_are_missing_says_so_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(postgres, "PROGRAMS", "/nowhere")
    monkeypatch.setattr(
        run, "FAULTS", {**FAULTS, "poison": Fault("P4", "one that is kept", lambda *_: ("well", True))}
    )
    monkeypatch.setenv("PATH", str(Path(shutil.which("unshare")).parent))
    if shutil.which("postgres"):
        pytest.skip("PostgreSQL's programs lie beside the system's")
    missing, tried = run_faults(("postgres-restarted", "poison"))
    assert not missing.kept and missing.figure.startswith("not tried: ")
    assert "PostgreSQL" in missing.figure or "root" in missing.figure
    assert (tried.kept, tried.figure) == (True, "well")


@pytest.mark.parametrize("name", ["host-killed", "disk-full"])
def test_without_root_a_fault_that_needs_it_ends_at_once(name, monkeypatch, tmp_path):
    (tmp_path / "unshare").symlink_to(shutil.which("false"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (row,) = run_faults((name,))
    assert not row.kept and "needs root" in row.figure


def test_faults_are_called_by_name():
    with pytest.raises(UnknownFault, match="earthquake"):
        list(run_faults(("earthquake",)))


@pytest.mark.skipif(not Path("/usr/bin/storescu").exists(), reason="DCMTK is not installed")
def test_intake_is_measured_beside_dcmtk():
    done = CliRunner().invoke(
        bench, ["intake", "--slices", "4", "--matrix", "32", "--associations", "2"], env={"COLUMNS": "120"}
    )
    assert done.exit_code == 0, done.output
    for words in ("storescp", "penumbra", "flushes"):  # a narrow table breaks lines
        assert words in done.output


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_at_small_scale(name, tmp_path):
    document = tmp_path / "reliability.md"
    shutil.copy(Path(__file__).parents[2] / "docs/reliability.md", document)
    done = CliRunner().invoke(bench, ["faults", "--only", name, "--scale", "0.05", "--out", str(document)])
    assert done.exit_code == 0, done.output
    assert f"| {FAULTS[name].promise} | {FAULTS[name].words} |" in document.read_text()
