"""The rows of P16 by name: what several hosts share gives way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from service.faults import shared_parts
from service.faults.rows import Fault
from service.faults.shared_parts import Step

KILLS = 10
LONGEST_SILENCE_S = 60.0


def _disturbed(step: Step, times: int = 2) -> Callable[[Path, float], tuple[str, bool]]:
    def do(folder: Path, scale: float) -> tuple[str, bool]:
        count = max(1, round(times * scale))
        hosts, account = shared_parts.disturb(folder, [step] * count)
        return f"{count} times: {account}; {hosts}", account.kept

    return do


def _host_killed(folder: Path, scale: float) -> tuple[str, bool]:
    kills = max(1, round(KILLS * scale))
    again, hosts, account = shared_parts.kill_host(folder, kills)
    figure = f"{kills} kills, {again} jobs begun anew: {account}; {hosts}"
    return figure, account.kept and again > 0


def _host_cut_off(folder: Path, _scale: float) -> tuple[str, bool]:
    tried, taken, account = shared_parts.cut_off_host(folder)
    return f"{tried} late result, {taken} taken; {account}", account.kept and tried > 0 and not taken


def _host_silent(folder: Path, _scale: float) -> tuple[str, bool]:
    seconds, refused, account = shared_parts.go_silent_in_a_write(folder)
    figure = f"others wrote again after {seconds:.0f} s, {refused} refused with 0xA700 meanwhile; {account}"
    return figure, account.kept and seconds < LONGEST_SILENCE_S


SHARED_FAULTS = {
    "postgres-restarted": Fault(
        "P16", "PostgreSQL is restarted while series arrive", _disturbed(shared_parts.restart_postgres)
    ),
    "postgres-crashed": Fault(
        "P16",
        "PostgreSQL is stopped as by a crash (`-m immediate`) while series arrive",
        _disturbed(shared_parts.crash_postgres),
    ),
    "postgres-hung": Fault(
        "P16",
        f"PostgreSQL hangs (SIGSTOP) for {shared_parts.HANG_S:.0f} s while series arrive",
        _disturbed(shared_parts.hang_postgres),
    ),
    "redis-restarted": Fault(
        "P16", "redis-server is restarted while series arrive", _disturbed(shared_parts.restart_redis)
    ),
    "redis-emptied": Fault(
        "P16", "redis-server forgets everything while series arrive", _disturbed(shared_parts.empty_redis)
    ),
    "host-killed": Fault("P16", "kill -9 of one of two worker hosts in mid-job", _host_killed),
    "host-cut-off": Fault("P16", "a worker host is cut from the database past its lease", _host_cut_off),
    "host-silent": Fault("P16", "a host goes silent in the middle of a write", _host_silent),
}
