"""Entry of the embedded system's processes: `python -m service.process --parent PID NAME`.

Each ends with the process that started it. `exec` turns into another program that does so too.
"""

import argparse
import fcntl
import os
import signal
from collections.abc import Callable, Sequence

from service.logs import configure_logging
from service.settings import ServiceSettings
from service.signals import die_with_parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and become that process."""
    parser = argparse.ArgumentParser(prog="python -m service.process", description=__doc__)
    parser.add_argument("--parent", type=int, help="end when this process ends")
    parser.add_argument("--lock", help="exec: a file to hold locked for the program's whole life")
    parser.add_argument("name", choices=[*RUNNERS, "exec"])
    parser.add_argument("command", nargs=argparse.REMAINDER, help="exec: program and arguments")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        die_with_parent(options.parent, signal.SIGTERM if options.name == "exec" else signal.SIGKILL)
    os.umask(0o077)
    if options.name == "exec":
        _become(options.command, options.lock)
    configure_logging(options.name)
    RUNNERS[options.name](ServiceSettings())


def _become(command: Sequence[str], lock: str | None) -> None:
    """Replace this process. The lock's descriptor stays open in the program, which knows nothing of it."""
    if lock is not None:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        fcntl.fcntl(descriptor, fcntl.F_SETFD, 0)  # not closed on exec
    os.execv(command[0], list(command))


def _api(settings: ServiceSettings) -> None:
    from service.app import run_api

    run_api(settings)


def _listener(settings: ServiceSettings) -> None:
    from service.listener import run_listener

    run_listener(settings)


def _reconciler(settings: ServiceSettings) -> None:
    from service.reconciler import run_reconciler

    run_reconciler(settings)


def _worker(settings: ServiceSettings) -> None:
    from service.worker_process import run_worker

    run_worker(settings, "gpu")


def _delivery(settings: ServiceSettings) -> None:
    from service.worker_process import run_worker

    run_worker(settings, "delivery")


RUNNERS: dict[str, Callable[[ServiceSettings], None]] = {
    "api": _api,
    "listener": _listener,
    "reconciler": _reconciler,
    "worker": _worker,
    "delivery": _delivery,
}

if __name__ == "__main__":
    main()
