"""What a fault needs of the machine, asked before anything is started for it."""

from __future__ import annotations

import subprocess

from worker.errors import Failed


class RightsMissing(Failed):
    """The fault needs root, or a right that this root does not have (in a container, say)."""

    code = "rights-missing"
    default_remedy = "Run it as root, with the capability CAP_SYS_ADMIN in a container."


def need_second_host_name() -> None:
    """A process may have a host name of its own (a UTS namespace).

    Raises:
        RightsMissing: it may not.
    """
    if not _works("unshare", "--uts", "true"):
        raise RightsMissing("A second host's name needs root (unshare --uts).")


def need_mounts() -> None:
    """A small disk may be mounted.

    Raises:
        RightsMissing: it may not.
    """
    if not _works("unshare", "--mount", "true"):
        raise RightsMissing("A small disk needs root (mount).")


def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
