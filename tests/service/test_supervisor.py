"""The supervisor over children that only sleep."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service import supervisor as supervisor_module
from service.supervisor import ChildSpec, Supervisor

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
)


def eventually(question, within_s=30):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if question():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Start a supervisor over the given children; its loop runs in this process until the test ends."""
    monkeypatch.setattr(supervisor_module, "PROBE_EVERY_S", 0.05)
    running = []

    def start(*specs):
        stop = threading.Event()
        watched = Supervisor(specs, environment=os.environ, logs_dir=tmp_path, on_change=lambda _: None)
        assert watched.start(stop, 30)
        thread = threading.Thread(target=watched.watch, args=(stop,))
        thread.start()
        running.append((watched, stop, thread))
        return watched

    yield start
    for watched, stop, thread in running:
        stop.set()
        thread.join()
        watched.stop()


def test_child_that_dies_is_started_again(run):
    watched = run(ChildSpec(name="a", command=SLEEP))
    before = watched.pids()["a"]
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: watched.pids().get("a", before) != before)


def test_child_that_always_dies_is_started_ever_more_seldom(run):
    starts = []
    run(ChildSpec(name="a", command=(sys.executable, "-c", ""), prepare=lambda: starts.append(1)))
    time.sleep(2.5)
    assert 1 < len(starts) < 7


def test_child_that_stops_answering_is_killed_and_started_again(run):
    answers = iter([True])
    watched = run(ChildSpec(name="a", command=SLEEP, alive=lambda: next(answers, False)))
    before = watched.pids()["a"]
    assert eventually(lambda: watched.pids().get("a", before) != before)


def test_child_that_never_answered_yet_is_given_time(run):
    watched = run(ChildSpec(name="a", command=SLEEP, alive=lambda: False))
    before = watched.pids()["a"]
    time.sleep(0.5)
    assert watched.pids()["a"] == before


def test_stubborn_child_is_killed_in_the_end(tmp_path):
    watched = Supervisor(
        [ChildSpec(name="a", command=STUBBORN, stop_timeout_s=0.3)],
        environment=os.environ,
        logs_dir=tmp_path,
        on_change=lambda _: None,
    )
    watched.start(threading.Event(), 30)
    assert eventually(lambda: (tmp_path / "a.log").read_text())
    watched.stop()
    assert watched.pids() == {}


def test_start_gives_up_on_a_child_that_is_never_ready(tmp_path):
    watched = Supervisor(
        [ChildSpec(name="a", command=SLEEP, ready=lambda: False)],
        environment=os.environ,
        logs_dir=tmp_path,
        on_change=lambda _: None,
    )
    assert not watched.start(threading.Event(), 0.3)
    watched.stop()


def test_process_ends_with_its_parent_even_after_an_exec(tmp_path):
    """Parent: starts `service.process exec sleep`, says its pid, waits. We kill the parent."""
    script = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'service.process', '--parent', str(os.getpid()),"
        f" '--lock', {str(tmp_path / 'lock')!r}, 'exec', '/bin/sleep', '600'])\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = json.loads(parent.stdout.readline())
    command = Path(f"/proc/{child}/cmdline")
    assert eventually(lambda: command.read_bytes().startswith(b"/bin/sleep"))
    parent.kill()
    parent.wait()
    assert eventually(lambda: not command.exists() or command.read_bytes() == b"")
