"""The Celery application: queues, late acknowledgement, no results. The job's record is the truth.

A message only says "look at job X": it may be lost or doubled, the ledger's claim sorts that out.
"""

from typing import Any, Final

from celery import Celery
from kombu.entity import Exchange, Queue

from worker.settings import WorkerSettings

SEGMENT_TASK: Final = "penumbra.segment_series"
DELIVER_TASK: Final = "penumbra.deliver"
GPU_QUEUE: Final = "gpu"
DELIVERY_QUEUE: Final = "delivery"

SOFT_LIMIT_MARGIN_S = 60
SOFT_SHUTDOWN_S = 3


def create_celery(settings: WorkerSettings) -> Celery:
    """Build the application; the tasks are added in a worker only (`worker/tasks.py`).

    Raises:
        ValueError: no broker URL is set.
    """
    if settings.broker_url is None:
        raise ValueError("no broker: set PENUMBRA_BROKER_URL, or start everything with `penumbra serve`")
    app = Celery("penumbra", broker=settings.broker_url)
    app.conf.update(_configuration(settings))
    return app


def _configuration(settings: WorkerSettings) -> dict[str, Any]:
    limit_s = settings.task_limit_s
    return {
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_serializer": "json",
        "task_queues": [_queue(GPU_QUEUE), _queue(DELIVERY_QUEUE)],
        "task_default_queue": GPU_QUEUE,
        "task_create_missing_queues": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,  # at once to the next child; the cap on attempts is in the ledger
        "task_acks_on_failure_or_timeout": True,  # False would loop for ever on a time-out
        "task_time_limit": limit_s,
        "task_soft_time_limit": max(1, limit_s - SOFT_LIMIT_MARGIN_S),
        "worker_pool": "prefork",
        "worker_concurrency": 1,
        "worker_prefetch_multiplier": 1,
        "worker_proc_alive_timeout": 120.0,
        "worker_soft_shutdown_timeout": SOFT_SHUTDOWN_S,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # the lease decides
        "worker_enable_remote_control": False,  # cancelling is a flag in the ledger
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": _transport_options(limit_s),
        "visibility_timeout": 2 * limit_s,
    }


def _queue(name: str) -> Queue:
    """Each queue has its own exchange: with the default one, a message for one would reach them all."""
    return Queue(name, Exchange(name), routing_key=name)  # type: ignore[no-untyped-call]


def _transport_options(limit_s: int) -> dict[str, Any]:
    return {
        "visibility_timeout": 2 * limit_s,  # longer than any task, or Redis hands it out a second time
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 30,
        "socket_timeout": 10,  # a broker that hangs must not hang us
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "priority_steps": [0, 3, 6, 9],
        "queue_order_strategy": "priority",
        "global_keyprefix": "pnb:",
    }
