"""A clinic's folders of CT and RTSTRUCT to prepared cases, evaluation folders and a report of what was left out.

The source is only read. A run that was stopped goes on where it was: what was done with the same files, map and
settings is not done again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from worker.job_folder import write_atomically
from worker.prepare_case import PARTIAL, Settings, Task, prepare_case
from worker.prepare_record import (
    CaseRecord,
    Reason,
    Report,
    SeriesRecord,
    StructureSetRecord,
    read_cases,
    write_record,
)
from worker.prepare_scan import CtFiles, StructureSetFile, Tree, assign, scan

OnStep = Callable[[str, int, int], None]  # what, done, of how many
VERSION: Final = 1  # of what is made from the same files; raise it to have old cases made anew


class OutputInSource(ValueError):
    """The output lies in the source, or around it."""


def prepare(source: Path, settings: Settings, *, jobs: int, on_step: OnStep) -> Report:
    """Prepare every CT series with a structure set below a folder.

    Leaves in `settings.out`: `cases/<case>.npz`, `evaluation/<case>/{ct/*.dcm, truth.dcm}`, `records/<case>.json`,
    `numbers.json` (which series has which number) and `report.json`, which has the cases of earlier runs too.

    Args:
        source: the clinic's folder, any nesting, any names.
        settings: where to, and how to choose.
        jobs: processes; each holds one CT in memory.
        on_step: told how far scanning and preparing are.

    Raises:
        OutputInSource: the output lies in the source, or around it.
    """
    _check_apart(source, settings.out)
    tree = scan(source, on_file=lambda done, count: on_step("reading headers", done, count))
    assigned, lost = assign(tree)
    tasks = _tasks(tree, assigned, settings)
    for number, _ in enumerate(_run(tasks, settings, jobs), start=1):
        on_step("preparing cases", number, len(tasks))
    cases = sorted(read_cases(settings.out / "records").values(), key=lambda record: record.case)
    report = _report(tree, assigned, lost, settings).model_copy(update={"cases": tuple(cases)})
    write_record(report, settings.out / "report.json")
    return report


def _check_apart(source: Path, out: Path) -> None:
    source, out = source.resolve(), out.resolve()
    if out.is_relative_to(source) or source.is_relative_to(out):
        raise OutputInSource(
            "The output must lie outside the source, in which nothing is changed, and not around it."
        )


def _tasks(
    tree: Tree, assigned: Mapping[str, Sequence[tuple[StructureSetFile, str]]], settings: Settings
) -> list[Task]:
    """One task per CT series with a structure set."""
    series = sorted(uid for uid, sets in assigned.items() if sets)
    numbers = _numbers(series, settings.out / "numbers.json")
    return [
        Task(
            case=f"case-{numbers[uid]:04d}",
            series_instance_uid=uid,
            ct=tuple(tree.ct[uid].paths),
            structure_sets=tuple((s.path, s.sop_instance_uid, rule) for s, rule in assigned[uid]),
            fingerprint=_fingerprint(tree.ct[uid], assigned[uid], settings),
        )
        for uid in series
    ]


def _numbers(series: Sequence[str], file: Path) -> dict[str, int]:
    """The number of each series, written down before it is used: it stays, whatever is added to the source later."""
    numbers: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    for uid in series:
        numbers.setdefault(uid, max(numbers.values(), default=0) + 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, f"{json.dumps(numbers, indent=2)}\n".encode())
    return numbers


def _fingerprint(ct: CtFiles, sets: Sequence[tuple[StructureSetFile, str]], settings: Settings) -> str:
    """Changes when the outcome may: other files, another map, other settings."""
    files = [(path.stat().st_size, path.stat().st_mtime_ns) for path in ct.paths]
    parts = [
        VERSION,
        settings.newest,
        settings.keep_unusual,
        sorted(settings.roi_map.in_order),
        {name: [asdict(entry) for entry in lines] for name, lines in settings.roi_map.entries.items()},
        sorted(zip(ct.sop_instance_uids, files, strict=True)),
        sorted(s.sha256 for s, _ in sets),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _run(tasks: Sequence[Task], settings: Settings, jobs: int) -> Iterator[CaseRecord]:
    """The records of all tasks as they come; those that an earlier run left are not made again."""
    for folder in ("cases", "evaluation", "records"):
        (settings.out / folder).mkdir(parents=True, exist_ok=True)
    earlier = read_cases(settings.out / "records")
    missing = []
    for task in tasks:
        record = earlier.get(task.series_instance_uid)
        if record is not None and record.fingerprint == task.fingerprint and _is_there(record, settings.out):
            yield record
        else:
            missing.append(task)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_prepare_and_record, task, settings): task for task in missing}
        for future in as_completed(running):
            yield future.result()
    shutil.rmtree(settings.out / PARTIAL, ignore_errors=True)


def _is_there(record: CaseRecord, out: Path) -> bool:
    return (not record.training or (out / "cases" / f"{record.case}.npz").exists()) and (
        not record.evaluation or (out / "evaluation" / record.case / "truth.dcm").exists()
    )


def _prepare_and_record(task: Task, settings: Settings) -> CaseRecord:
    """In a process of its own. A case that fails in a way nobody foresaw does not end the run."""
    path = settings.out / "records" / f"{task.case}.json"
    path.unlink(missing_ok=True)
    try:
        record = prepare_case(task, settings)
    except Exception as error:  # noqa: BLE001 - the process boundary; told in the report, by its kind alone
        message = f"It could not be read ({type(error).__name__})."
        record = CaseRecord(
            case=task.case,
            series_instance_uid=task.series_instance_uid,
            reason=Reason(code="unforeseen", message=message),
        )
    write_record(record, path)
    return record


def _report(
    tree: Tree,
    assigned: Mapping[str, Sequence[tuple[StructureSetFile, str]]],
    lost: Sequence[StructureSetFile],
    settings: Settings,
) -> Report:
    """Everything but the cases."""
    without = Reason(code="no-structure-set", message="No structure set refers to it.")
    series = [
        SeriesRecord(series_instance_uid=uid, instances=len(tree.ct[uid].paths), reason=without)
        for uid, sets in assigned.items()
        if not sets
    ]
    series += [
        SeriesRecord(
            series_instance_uid=uid, instances=count, reason=Reason(code="not-ct", message=f"It is {kind}.")
        )
        for (uid, kind), count in tree.other_images.items()
    ]
    no_ct = Reason(code="no-ct", message="No CT series, or more than one, is what it refers to.")
    return Report(
        command="penumbra prepare",
        not_dicom_files=tree.not_dicom,
        unreadable_files=tree.unreadable,
        other_objects=dict(tree.other_objects),
        other_series=tuple(sorted(series, key=lambda record: record.series_instance_uid)),
        structure_sets_without_ct=tuple(
            StructureSetRecord(sop_instance_uid=s.sop_instance_uid, used=False, reason=no_ct) for s in lost
        ),
        cases=(),
        roi_map={name: [entry.text for entry in lines] for name, lines in settings.roi_map.entries.items()},
    )
