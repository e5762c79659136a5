"""A claimed job runs, beats, ends: with a ledger that only remembers. The real ledger has its own tests."""

import os
import subprocess
import sys
import time

import pytest

from worker import tasks
from worker.errors import Cancelled, NotCT
from worker.heartbeat import Heartbeat
from worker.job_folder import Outcome, attempt_dir
from worker.ledger import Claim, LeaseLost, LedgerUnavailable, ProgressReport
from worker.settings import WorkerSettings
from worker.tasks import run_claimed

REPORT = ProgressReport(stage="ctv", passes_done=1, passes_total=2, percent=50)


class RememberingLedger:
    def __init__(self, claim):
        self.to_give = claim
        self.renewals, self.published = [], []
        self.answers = []  # what the next renewals raise

    def claim(self, job_id, worker):
        return self.to_give

    def renew(self, claim, progress):
        self.renewals.append(progress)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    def publish(self, claim, outcome):
        self.published.append(outcome)
        return True


@pytest.fixture
def settings(tmp_path):
    return WorkerSettings(data_dir=tmp_path, progress_every_s=0.02, heartbeat_s=0.1, stall_s=30)


@pytest.fixture
def ledger(tmp_path):
    return RememberingLedger(Claim(job_id="j", fence=1, folder=tmp_path))


@pytest.fixture
def run(monkeypatch, ledger, settings):
    def with_runner(runner):
        monkeypatch.setattr(tasks, "load_runner", lambda _path: runner)
        run_claimed("j", "worker", ledger, settings)
        return ledger

    return with_runner


def test_outcome_of_the_runner_is_published(run, tmp_path):
    def runner(folder, out, *, progress):
        assert out == attempt_dir(folder, 1)
        assert out.is_dir()
        progress(REPORT)
        time.sleep(0.1)
        return Outcome("done")

    ledger = run(runner)
    assert ledger.published == [Outcome("done")]
    assert REPORT in ledger.renewals


def test_remains_of_a_former_attempt_are_gone(run, tmp_path):
    stale = attempt_dir(tmp_path, 1) / "stale"
    stale.parent.mkdir()
    stale.touch()
    run(lambda folder, out, *, progress: Outcome("done"))
    assert not stale.exists()


def test_job_that_is_not_to_be_had_is_left_alone(run, ledger):
    ledger.to_give = None
    assert run(lambda *a, **k: 1 / 0).published == []


def test_unexpected_error_ends_the_job_failed_without_its_text(run):
    def runner(folder, out, *, progress):
        raise ValueError("ZZPHIMARK")

    (outcome,) = run(runner).published
    assert outcome.state == "failed"
    assert "ZZPHIMARK" not in str(outcome)


@pytest.mark.parametrize("stop", [LeaseLost(), Cancelled()])
def test_runner_is_stopped_at_its_next_report(run, ledger, stop):
    ledger.answers = [stop]
    reports = []

    def runner(folder, out, *, progress):
        for number in range(500):
            progress(ProgressReport(stage="ctv", passes_done=number))
            reports.append(number)
            time.sleep(0.01)
        return Outcome("done")

    published = run(runner).published
    assert len(reports) < 300
    expected = [] if isinstance(stop, LeaseLost) else ["cancelled"]
    assert [outcome.state for outcome in published] == expected


def test_ledger_that_is_away_for_a_while_does_not_stop_the_job(run, ledger, monkeypatch):
    monkeypatch.setattr(tasks, "PUBLISH_PAUSE_S", 0.01)
    ledger.answers = [LedgerUnavailable()] * 2
    publish, refusals = ledger.publish, [LedgerUnavailable(), LedgerUnavailable()]

    def publish_later(claim, outcome):
        if refusals:
            raise refusals.pop()
        return publish(claim, outcome)

    ledger.publish = publish_later

    def runner(folder, out, *, progress):
        progress(REPORT)
        time.sleep(0.2)
        return Outcome("rejected", NotCT("x").as_reason())

    assert run(runner).published[0].state == "rejected"
    assert len(ledger.renewals) >= 3


def test_progress_is_written_seldom_and_the_lease_held_in_between(ledger, settings):
    with Heartbeat(ledger, ledger.to_give, settings) as heartbeat:
        for _ in range(200):
            heartbeat.report(REPORT)
        time.sleep(0.5)
    assert 2 <= len(ledger.renewals) <= 10


def test_process_that_hangs_ends_itself(tmp_path):
    """Its lease would be renewed for ever otherwise, by a thread that knows nothing of the computation."""
    script = f"""
import time
from pathlib import Path
from worker.heartbeat import Heartbeat
from worker.ledger import Claim
from worker.settings import WorkerSettings
class Ledger:
    def renew(self, claim, progress): pass
settings = WorkerSettings(data_dir={str(tmp_path)!r}, progress_every_s=0.05, stall_s=0.5)
with Heartbeat(Ledger(), Claim(job_id="j", fence=1, folder=Path(".")), settings):
    time.sleep(60)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ}, timeout=50, check=False)
    assert done.returncode == -9
    assert time.monotonic() - began < 30
