"""`penumbra bench endurance`: what is read is true, and what grows without end is told from what levels off."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from service.faults.account import Account
from service.faults.endurance import TOLERATED, Endurance
from service.faults.processes import descendants_of
from service.faults.system import eventually
from service.faults.usage import Held, Usage, usage_of
from service.physics.bench import bench

HOLDS = """
import sys, threading
files = [open("/dev/null") for _ in range(20)]
memory = bytearray(30 * 2**20)
for _ in range(5):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
WHOLE = Account(answered=1, series=1, done=1, lost=0, undone=0, doubled=0)


@pytest.fixture
def process():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDS], **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def test_memory_descriptors_threads_and_disk_are_those_of_the_process(process, tmp_path):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "1").write_bytes(bytes(100_000))
    (tmp_path / "inbox" / "2").hardlink_to(tmp_path / "inbox" / "1")
    system = SimpleNamespace(process=process, data_dir=tmp_path, state=lambda: {"children": {}})
    usage = usage_of(system)
    held = usage.processes["supervisor"]
    assert 30e6 < held.memory < 100e6
    assert 20 < held.descriptors < 40
    assert held.threads == 6
    assert 100_000 <= usage.disk["inbox"] < 150_000


def looked(what, *values, disk=(0, 0, 0)):
    """Three looks at one process, in which one figure takes these values."""
    base = Held(memory=2**26, descriptors=20, threads=5)
    looks = zip(values, disk, strict=True)
    return Endurance(
        minutes=1,
        account=WHOLE,
        looks=tuple(Usage({"api": base._replace(**{what: value})}, {"jobs": room}) for value, room in looks),
        series=(10, 10),
    )


@pytest.mark.parametrize("what", Held._fields)
def test_what_goes_on_growing_is_told_from_what_levels_off(what):
    step = 2 * getattr(TOLERATED, what)
    assert list(looked(what, step, 2 * step, 3 * step).findings()) == [
        f"{what} of api: {step}, {2 * step}, {3 * step}"
    ]
    assert looked(what, step, 5 * step, 6 * step).kept
    assert looked(what, step, step, step).kept
    assert looked(what, step, step, step + step // 4).kept


def test_disk_may_grow_by_the_series_and_not_faster():
    room = 20 * 2**20
    assert looked("threads", 5, 5, 5, disk=(0, room, 2 * room)).kept
    assert not looked("threads", 5, 5, 5, disk=(0, room, 3 * room)).kept


def at_rest(*pids):
    """Three looks at processes of these ids by name, none of which holds more or less than another."""
    held = Held(memory=2**26, descriptors=20, threads=5)
    looks = tuple(Usage({name: held for name in each}, {}, each) for each in pids)
    return Endurance(minutes=1, account=WHOLE, looks=looks, series=(10, 10))


def test_processes_that_become_more_are_a_finding():
    one, two, three = (
        {"worker": 1},
        {"worker": 1, "worker child": 2},
        {"worker": 1, "worker child": 2, "x": 3},
    )
    assert list(at_rest(one, two, three).findings()) == ["processes: 1, 2, 3"]
    assert at_rest(one, two, two).kept
    assert "lived through it" in str(at_rest(two, two, two))


@pytest.mark.parametrize("pids", [({"api": 7}, {"api": 8}, {"api": 8}), ({"api": 7}, {"api": 7}, {})])
def test_a_part_that_died_is_a_finding_whether_it_came_back_or_not(pids):
    found = at_rest(*({"supervisor": 1} | each for each in pids))
    assert not found.kept
    assert "api did not live through it: process 7" in str(found)
    assert "nothing grows" not in str(found)


def test_processes_that_other_threads_and_children_started_are_seen():
    code = "import subprocess as s, threading as t; t.Thread(target=s.run, args=(['sleep', '60'],)).start()"
    shell = subprocess.Popen(["sh", "-c", f'{sys.executable} -c "{code}"; :'])
    try:
        eventually(lambda: len(descendants_of(shell.pid)) == 2, what="a child and its child")
    finally:
        for pid in [*reversed(descendants_of(shell.pid)), shell.pid]:
            os.kill(pid, signal.SIGKILL)
        shell.wait()


@pytest.mark.slow
def test_nothing_grows_in_the_short_form():
    done = CliRunner().invoke(bench, ["endurance", "--minutes", "1"], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    for words in ("listener", "worker child", "nothing grows without end"):
        assert words in done.output
