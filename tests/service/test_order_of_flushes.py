"""What the kernel is asked for, in which order, before a C-STORE is answered (seen from outside, by strace)."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from service.faults.clients import Sender
from service.faults.small_series import make_series
from service.faults.system import eventually
from service.probes import free_port, listener_answers
from service.settings import ServiceSettings
from service.sqlite_driver import journal_mode, newest_sqlite

CALLS = "fsync,fdatasync,rename,renameat,renameat2,sendto"

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture
def traced(tmp_path):
    """A listener under strace: its settings, and the lines that were written so far."""
    settings = ServiceSettings(
        data_dir=tmp_path / "data", dicom_port=free_port("127.0.0.1"), min_free_bytes=0
    )
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-s", "8", "-e", f"trace={CALLS}", "-o", str(trace)]
    process = subprocess.Popen(
        [*command, sys.executable, "-m", "service.process", "listener"],
        env={**os.environ, **settings.environment()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    eventually(lambda: listener_answers(settings), what="the listener")
    yield settings, lambda: trace.read_text().splitlines()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_file_name_and_row_are_flushed_in_this_order_before_the_answer(traced):
    settings, lines = traced
    before = len(lines())
    sender, series = Sender("TPS"), make_series(3)
    assert sender.send(series, settings.dicom_port)
    steps = "".join(_step(call) for call in whole(lines()[before:]))
    # Who connected is noted and committed too, before the first instance or after the last.
    # f: the file, r: its rename, d: its folder, c: the commit, s: something is sent
    assert re.fullmatch(r"[cs]*(frdc+s){3}[cs]*", steps), steps


def whole(lines):
    """Calls as they return: one that another thread interrupted is written in two lines."""
    begun = {}
    for line in lines:
        thread = line.split()[0]
        if "<unfinished" in line:
            begun[thread] = line
        else:
            yield begun.pop(thread, "") + line


def _step(call):
    journal = "penumbra.sqlite-wal" if journal_mode(newest_sqlite()) == "WAL" else "penumbra.sqlite"
    if re.search(r"\bf(data)?sync\(", call):
        if ".tmp" in call:
            return "f"
        if journal in call:
            return "c"
        return "d" if re.search(r"inbox/[0-9a-f]{2}>", call) else ""
    if "rename" in call and "inbox/" in call:
        return "r"
    return "s" if "sendto(" in call else ""
