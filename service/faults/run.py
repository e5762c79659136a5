"""All faults by name: each is one function that mistreats a system and says what came of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from service.faults import (
    associations,
    clock,
    deliveries,
    hostile,
    kills,
    long_outage,
    plain_celery,
    surroundings,
    troubled_jobs,
)
from service.faults.rows import Fault, Row
from service.faults.shared_rows import SHARED_FAULTS
from service.faults.system import NotAsPromised, System, running_system
from worker.errors import Failed

GUARD = "tests/service/test_faults.py"
WHOLE = {
    "kills": 200,
    "baseline": 60,
    "tasks": 6000,
    "recoveries": 25,
    "malformed": 5000,
    "silent": 200,
    "cancels": 20,
    "heads": 20,
}


class UnknownFault(Failed):
    """No fault of that name is known."""

    code = "unknown-fault"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"No fault is called {', '.join(names)}.", remedy=f"Known are {', '.join(FAULTS)}.")


def run_faults(names: Sequence[str] = (), *, scale: float = 1.0) -> Iterator[Row]:
    """Try faults one after the other, each on a system of its own; all of them where none is named.

    Raises:
        UnknownFault: a name is not known.
    """
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise UnknownFault(unknown)
    for name in names or FAULTS:
        fault = FAULTS[name]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                figure, kept = fault.do(Path(folder), scale)
            except NotAsPromised as error:
                figure, kept = error.message, False
            except Failed as error:  # what the fault needs is not here; the others go on
                figure, kept = f"not tried: {error}", False
        command = f"penumbra bench faults --only {name}" + (f" --scale {scale:g}" if scale != 1 else "")
        yield Row(
            promise=fault.promise, fault=fault.words, figure=figure, kept=kept, test=GUARD, command=command
        )


def _count(what: str, scale: float) -> int:
    return max(2, round(WHOLE[what] * scale))


def _kills(folder: Path, scale: float) -> tuple[str, bool]:
    run = kills.run_kills(folder, _count("kills", scale))
    by_part = ", ".join(f"{part} {count}" for part, count in run.kills.items())
    return f"{sum(run.kills.values())} kills ({by_part}): {run.account}", run.account.kept


def _baseline(folder: Path, scale: float) -> tuple[str, bool]:
    found = plain_celery.run_baseline(folder, _count("tasks", scale), _count("baseline", scale))
    figure = f"{found.kills} kills, {found.sent} tasks: {found.missing} never ran, {found.doubled} ran twice"
    return figure, True


def _recovery(part: str) -> Callable[[Path, float], tuple[str, bool]]:
    def do(folder: Path, scale: float) -> tuple[str, bool]:
        seconds = kills.measure_recovery(folder, _count("recoveries", scale), part=part)
        middle, late = seconds[len(seconds) // 2], seconds[int(0.95 * (len(seconds) - 1))]
        times = f"{middle:.1f} s (median), {late:.1f} s (p95), {seconds[-1]:.1f} s at most"
        figure = f"{len(seconds)} kills: computed again after {times}"
        return figure, True

    return do


def _poison(folder: Path, _scale: float) -> tuple[str, bool]:
    found = troubled_jobs.poison_a_worker(folder)
    figure = f"{found.attempts} attempts, then {found.state} ({found.code}); the next job done after "
    return f"{figure}{found.next_done_s:.1f} s", (found.state, found.attempts) == ("failed", 3)


def _cancels(folder: Path, scale: float) -> tuple[str, bool]:
    seconds, results = troubled_jobs.cancel_in_mid_pass(folder, _count("cancels", scale))
    times = f"{seconds[len(seconds) // 2]:.1f} s (median), {seconds[-1]:.1f} s at most"
    return f"{len(seconds)} cancelled after {times}; {results} left a result", not results


def _heads(folder: Path, scale: float) -> tuple[str, bool]:
    orphans, seconds = troubled_jobs.behead(folder, _count("heads", scale))
    times = f"{seconds[len(seconds) // 2]:.1f} s (median), {seconds[-1]:.1f} s at most"
    return f"{len(seconds)} kills: {orphans} orphans; ready again after {times}", not orphans


def _associations(folder: Path, _scale: float) -> tuple[str, bool]:
    with running_system(folder) as system:
        account = associations.interleave_two_series(system)
    return str(account), account.kept


def _broken_off(*, abort: bool) -> Callable[[Path, float], tuple[str, bool]]:
    def do(folder: Path, _scale: float) -> tuple[str, bool]:
        with running_system(folder) as system:
            account = associations.break_off_and_send_again(system, abort=abort)
        return str(account), account.kept

    return do


def _contradictions(folder: Path, _scale: float) -> tuple[str, bool]:
    with running_system(folder) as system:
        account, refused = associations.repeat_and_contradict(system)
    kept = account.kept and refused == associations.SLICES
    return f"{account}; {refused} of {associations.SLICES} contradictions refused", kept


def _broker(
    fault: Callable[[System], None], mend: Callable[[System], None]
) -> Callable[[Path, float], tuple[str, bool]]:
    def do(folder: Path, _scale: float) -> tuple[str, bool]:
        with running_system(folder) as system:
            account = surroundings.push_while(system, fault, mend)
        return str(account), account.kept

    return do


def _locked(folder: Path, _scale: float) -> tuple[str, bool]:
    with running_system(folder) as system:
        refused, account = surroundings.lock_database(system)
    return f"{refused} refused with 0xA700 meanwhile; {account}", account.kept and refused > 0


def _disk(folder: Path, _scale: float) -> tuple[str, bool]:
    with surroundings.small_disk(folder / "disk") as disk, running_system(disk) as system:
        a700, others, partial, account = surroundings.fill_disk(system, disk / "ballast")
    figure = f"{a700} refused with 0xA700, {others} otherwise, {partial} half files; then {account}"
    return figure, account.kept and a700 > 0 and not others and not partial


def _delivery(fault: str) -> Callable[[Path, float], tuple[str, bool]]:
    def do(folder: Path, _scale: float) -> tuple[str, bool]:
        account, attempts = deliveries.deliver_to(folder, fault)
        return f"{account}; {attempts} attempts", account.kept

    return do


def _malformed(folder: Path, scale: float) -> tuple[str, bool]:
    with running_system(folder) as system:
        siege = hostile.send_malformed(system, _count("malformed", scale))
    return str(siege), siege.kept


def _silent(folder: Path, scale: float) -> tuple[str, bool]:
    with running_system(folder, PDU_DEADLINE_S="3") as system:
        siege = hostile.hold_silent(system, _count("silent", scale))
    return str(siege), siege.kept


def _paths(folder: Path, _scale: float) -> tuple[str, bool]:
    with running_system(folder) as system:
        sent, taken = hostile.send_path_like_uids(system)
    strangers = [path for path in folder.rglob("*evil*")]
    return (
        f"{sent} sent, {taken} taken, {len(strangers)} files where they pointed",
        not taken and not strangers,
    )


def _bombs(folder: Path, _scale: float) -> tuple[str, bool]:
    with running_system(folder) as system:
        statuses, grown = hostile.upload_bombs(system)
    figure = f"HTTP {', '.join(map(str, statuses))}; memory +{grown / 1e6:.0f} MB"
    return figure, all(400 <= status < 500 for status in statuses) and grown < 100e6


def _clock(folder: Path, _scale: float) -> tuple[str, bool]:
    run = clock.set_clock(folder)
    return str(run), run.kept


def _long_outage(folder: Path, _scale: float) -> tuple[str, bool]:
    outage = long_outage.wait_out_an_hour(folder)
    return str(outage), outage.kept


FAULTS = {
    "kills": Fault("P2", "kill -9 of each process at random moments, series arriving all the while", _kills),
    "plain-celery": Fault("P2", "beside it: plain Celery, worker and broker killed in turn", _baseline),
    "recovery-worker": Fault("P3", "kill -9 of the worker in mid-job", _recovery("worker")),
    "recovery-child": Fault("P3", "kill -9 of the computing process in mid-job", _recovery("child")),
    "poison": Fault("P4", "a job that kills the process that computes it", _poison),
    "cancelled": Fault("P5", "jobs cancelled in mid-pass", _cancels),
    "beheaded": Fault("P17", "kill -9 of `penumbra serve` itself, then started again", _heads),
    "interleaved": Fault("P1", "five associations interleave two series", _associations),
    "cut": Fault("P1", "the line is cut in mid-association, the series sent again", _broken_off(abort=False)),
    "abort": Fault("P1", "A-ABORT in mid-association, the series sent again", _broken_off(abort=True)),
    "conflicts": Fault("P1", "a series sent twice, then with other pixels", _contradictions),
    "broker-stopped": Fault(
        "P6",
        "the broker hangs (SIGSTOP) while a series arrives",
        _broker(surroundings.stop_broker, surroundings.continue_broker),
    ),
    "broker-killed": Fault(
        "P6",
        "the broker is killed before and after a series",
        _broker(surroundings.kill_broker, surroundings.kill_broker),
    ),
    "broker-emptied": Fault(
        "P6",
        "the broker forgets everything, twice",
        _broker(surroundings.empty_broker, surroundings.empty_broker),
    ),
    "database-locked": Fault("P7", "the database is locked for longer than anyone waits", _locked),
    "disk-full": Fault("P7", "the disk is full while a series arrives, then free again", _disk),
    "node-down": Fault("P2", "the planning system is down, then comes up", _delivery("down")),
    "node-refusing": Fault("P2", "the planning system refuses, then takes", _delivery("refusing")),
    "node-slow": Fault("P2", "the planning system takes seconds for an answer", _delivery("slow")),
    "node-dying": Fault("P2", "the planning system stores and dies before it answers", _delivery("dying")),
    "node-down-hour": Fault("P2", "the planning system is down for an hour (the clock is set)", _long_outage),
    "clock": Fault("P2", "the clock is set 5 h forward, then 10 h back, with work in every state", _clock),
    "malformed": Fault("P8", "malformed PDUs and messages", _malformed),
    "silent": Fault("P8", "silent sockets at once, half of them claiming 4 GiB", _silent),
    "bombs": Fault("P10", "uploads: a zip bomb, a path out of the archive, a deflated bomb", _bombs),
    "paths": Fault("P11", "C-STORE under UIDs that are paths", _paths),
    **SHARED_FAULTS,
}
