"""What a worker needs from whoever keeps the jobs: claim, renew, publish. `service/ledger.py` supplies it.

A claim holds a lease and a fence. The fence grows with every claim of a job, and every later write names
it, so a worker that was thought dead and comes back can no longer write anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.dicom_tls import ClientTls
from worker.job_folder import Outcome as Outcome


class LeaseLost(Exception):
    """The claim is void: another worker may hold the job. Stop and write nothing more."""


class LedgerUnavailable(Exception):
    """The ledger cannot be reached at the moment; try again."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to run one job, for as long as the lease is renewed."""

    job_id: str
    fence: int
    folder: Path


@dataclass(frozen=True, kw_only=True)
class ProgressReport:
    """How far a job is. `percent` runs from 0 to 100 over the whole job."""

    stage: str
    structure: str | None = None
    passes_done: int = 0
    passes_total: int = 0
    percent: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DeliveryClaim:
    """The right to send one job's files to one node."""

    delivery_id: str
    job_id: str
    fence: int
    files: tuple[Path, ...]
    ae_title: str
    host: str
    port: int
    calling_ae: str
    tls: ClientTls | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of one instance at a node.

    Attributes:
        sop_instance_uid: the instance.
        sop_class_uid: its kind.
        status: what the node answered, 0x0000 or a warning; None where it does not take the kind at all.
        remark: the warning or the refusal in words, empty if there was none.
        stored: whether the node has it.
    """

    sop_instance_uid: str
    sop_class_uid: str
    status: int | None
    remark: str = ""
    stored: bool = True


class Ledger(Protocol):
    """The book of jobs, as a worker sees it."""

    def claim(self, job_id: str, worker: str) -> Claim | None:
        """Take the job, or None when it is not to be had: ended, cancelled, or another worker has it."""

    def renew(self, claim: Claim, progress: ProgressReport) -> None:
        """Prolong the lease and write the progress down.

        Raises:
            LeaseLost: the claim is void.
            worker.errors.Cancelled: somebody asked the job to stop.
        """

    def publish(self, claim: Claim, outcome: Outcome) -> bool:
        """End the job: result folder, state and deliveries appear together. False if the claim is void."""


class DeliveryLedger(Protocol):
    """The book of deliveries, as a worker sees it."""

    def claim_delivery(self, delivery_id: str, worker: str) -> DeliveryClaim | None:
        """Take the delivery, or None when it is not to be had."""

    def delivered(self, claim: DeliveryClaim, sent: Sequence[Sent] = ()) -> bool:
        """The node has what matters; `sent` says what it thought of each. False if the claim is void."""

    def undelivered(self, claim: DeliveryClaim, error: str) -> bool:
        """The node did not take it; it is tried again after a pause. False if the claim is void."""


class WorkerLedger(Ledger, DeliveryLedger, Protocol):
    """Both books."""
