"""What a client may wish for a job; what is left out, or None, comes from the settings."""

from collections.abc import Collection
from typing import TypedDict

from service.idempotency import IdempotencyKey
from service.settings import ServiceSettings
from worker.job_folder import JobRequest


class JobWishes(TypedDict, total=False):
    """Options of `Jobs.submit`.

    Keys:
        sender: who gets the result back; by default whoever sent the series.
        passes: how many stochastic passes.
        seed: of the passes.
        bundle: by name.
        priority: 0 (most urgent) to 9.
        deliver: whether the result goes to nodes, which is the default.
        rerun_of: the job that this one repeats with other options.
        idempotency: the key that stands for the job from now on.
        presented: SOP Instance UIDs that the request brought along (`service/ownership.py` asks for them).
    """

    sender: str | None
    passes: int | None
    seed: int | None
    bundle: str | None
    priority: int | None
    deliver: bool
    rerun_of: str | None
    idempotency: IdempotencyKey | None
    presented: Collection[str]


def request_of(series_uid: str, wishes: JobWishes, settings: ServiceSettings) -> JobRequest:
    """What the worker will be asked; the job's id and the destinations are filled in later."""
    seed = wishes.get("seed")
    return JobRequest(
        job_id="",
        series_instance_uid=series_uid,
        bundle=wishes.get("bundle") or settings.bundle,
        passes=wishes.get("passes") or settings.passes,
        seed=settings.seed if seed is None else seed,
        also=settings.also,
    )
