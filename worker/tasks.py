"""Celery's two tasks. Everything they do is in plain functions that are tested without Celery."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import structlog
from celery import Celery

from worker.celery_app import DELIVER_TASK, SEGMENT_TASK
from worker.errors import Cancelled, Failed
from worker.heartbeat import Heartbeat
from worker.job_folder import Outcome, attempt_dir
from worker.ledger import Claim, LeaseLost, Ledger, LedgerUnavailable, ProgressReport, WorkerLedger
from worker.settings import WorkerSettings

PUBLISH_TRIES = 30
PUBLISH_PAUSE_S = 2.0

log = structlog.get_logger(__name__)


class Runner(Protocol):
    """Contours one job folder, as `worker/run_job.py:run_job` does."""

    def __call__(self, folder: Path, out: Path, *, progress: Callable[[ProgressReport], None]) -> Outcome:
        """Read `folder`, write into `out`, report every pass, say how it ended."""


@dataclass(frozen=True)
class Bench:
    """What a worker process works with. The ledger is opened in the child, never carried over a fork."""

    settings: WorkerSettings
    worker: str
    open_ledger: Callable[[], WorkerLedger]

    @cached_property
    def ledger(self) -> WorkerLedger:
        """The ledger, opened at first use."""
        return self.open_ledger()


def add_tasks(app: Celery, bench: Bench) -> None:
    """Register the tasks under their fixed names."""

    @app.task(name=SEGMENT_TASK)  # type: ignore[untyped-decorator]
    def segment_series(job_id: str) -> None:
        with structlog.contextvars.bound_contextvars(job_id=job_id):
            run_claimed(job_id, bench.worker, bench.ledger, bench.settings)

    @app.task(name=DELIVER_TASK)  # type: ignore[untyped-decorator]
    def deliver(delivery_id: str) -> None:
        with structlog.contextvars.bound_contextvars(delivery_id=delivery_id):
            send_claimed(delivery_id, bench.worker, bench.ledger)


def run_claimed(job_id: str, worker: str, ledger: Ledger, settings: WorkerSettings) -> None:
    """Claim a job, run it, publish how it ended. Does nothing if the job is not to be had."""
    try:
        claim = ledger.claim(job_id, worker)
    except LedgerUnavailable:
        log.warning("job not claimed, ledger unavailable")  # the reconciler announces it again
        return
    if claim is None:
        log.info("job is not to be had")
        return
    log.info("job claimed", fence=claim.fence)
    outcome = _run(claim, ledger, settings)
    if outcome is not None:
        published = _publish(claim, outcome, ledger)
        log.info("job ended", state=outcome.state, published=published, fence=claim.fence)


def send_claimed(delivery_id: str, worker: str, ledger: WorkerLedger) -> None:
    """Claim a delivery, send it, note how it went. The ledger decides when it is tried again."""
    from worker.delivery import DeliveryError, Node, send  # networking, needed by delivery workers only

    try:
        claim = ledger.claim_delivery(delivery_id, worker)
        if claim is None:
            return
        node = Node(ae_title=claim.ae_title, host=claim.host, port=claim.port, tls=claim.tls)
        try:
            sent = send(claim.files, node, calling_ae=claim.calling_ae)
        except (DeliveryError, OSError) as error:
            log.warning(
                "delivery failed", node=claim.ae_title, job_id=claim.job_id, cause=type(error).__name__
            )
            ledger.undelivered(claim, str(error))
        except Exception as error:  # noqa: BLE001 - as in `_run`: the delivery must end
            log.error("delivery failed", cause=type(error).__name__, where=_place(error))
            ledger.undelivered(claim, "The result could not be sent; the log says where it failed.")
        else:
            for each in sent:
                if each.remark:
                    status = "-" if each.status is None else f"0x{each.status:04X}"
                    log.warning("node has a remark", node=claim.ae_title, job_id=claim.job_id, status=status)
            log.info("delivered", node=claim.ae_title, job_id=claim.job_id, count=len(sent))
            ledger.delivered(claim, sent)
    except LedgerUnavailable:
        log.warning("delivery not noted, ledger unavailable")


def load_runner(path: str) -> Runner:
    """Import `package.module:function`. Here torch comes in, so it happens in the child only."""
    module, _, name = path.partition(":")
    return cast(Runner, getattr(import_module(module), name))


def _run(claim: Claim, ledger: Ledger, settings: WorkerSettings) -> Outcome | None:
    """Run the job; None when the claim was lost on the way."""
    out = attempt_dir(claim.folder, claim.fence)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(mode=0o700)
    try:
        with Heartbeat(ledger, claim, settings) as heartbeat:
            runner = load_runner(settings.runner)
            return runner(claim.folder, out, progress=heartbeat.report)
    except LeaseLost:
        return None
    except Cancelled as cancelled:
        return Outcome("cancelled", cancelled.as_reason())
    except Exception as error:  # noqa: BLE001 - the task is the process boundary; the job must end
        log.error("job failed", cause=type(error).__name__, where=_place(error))
        return Outcome("failed", Failed().as_reason())


def _publish(claim: Claim, outcome: Outcome, ledger: Ledger) -> bool:
    for _ in range(PUBLISH_TRIES):
        try:
            return ledger.publish(claim, outcome)
        except LedgerUnavailable:
            time.sleep(PUBLISH_PAUSE_S)
    return False


def _place(error: BaseException) -> str:
    """File and line of the innermost frame; the error's own text may quote patient data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
