"""Is this container well? Asks whatever `penumbra` command runs in it, as a client would.

The API is asked for /healthz, the listener for a C-ECHO. A worker and the reconciler are well as long as their
process lives: whether a job gets on is watched by its lease, not from here.
"""

import sys
from pathlib import Path

from service.probes import api_answers, listener_answers
from service.settings import ServiceSettings

PARTS = ("api", "listener", "reconciler", "worker")


def running_parts() -> set[str]:
    """The `penumbra` commands among this container's processes."""
    found = set()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        for program, command in zip(words, words[1:], strict=False):
            if Path(program).name == "penumbra" and command in PARTS:
                found.add(command)
    return found


def main() -> int:
    """0 when every part that runs here answers."""
    parts = running_parts()
    settings = ServiceSettings()
    well = bool(parts)
    if "api" in parts:
        well = well and api_answers(settings)
    if "listener" in parts:
        well = well and listener_answers(settings)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
