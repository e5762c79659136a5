"""One CT series and its structure sets to a prepared case and an evaluation folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.structures import STRUCTURES
from models.training.cases import CASE_SPACING_ZYX_MM, Case, save_case
from worker.errors import PenumbraError
from worker.grid import Grid, resample
from worker.guard import check_series
from worker.patient_study import ObjectIdentity
from worker.phantom_case import truth_name
from worker.prepare_choice import choose
from worker.prepare_record import CaseRecord, Reason, without_patient
from worker.prepare_roi_map import RoiMap
from worker.prepare_shape import Shape
from worker.prepare_structures import Taken, read_structures
from worker.rtstruct import write_contours
from worker.series import CTSeries, read_even_series
from worker.voi import AIR_HU, LPS_AXES, part_of

BODY_HU: Final = -300
AROUND_MM: Final = 120.0  # of the CT above and below the structures
WIDEST_MM: Final = 600.0
STRAIGHT_MM: Final = 8.0
LABEL: Final = "TRUTH"
PARTIAL: Final = ".partial"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What holds for all cases of a run."""

    out: Path
    roi_map: RoiMap
    newest: bool
    keep_unusual: bool


@dataclass(frozen=True, kw_only=True)
class Task:
    """One CT series.

    Attributes:
        case: its number, `case-0001`.
        series_instance_uid: the series.
        ct: its files.
        structure_sets: per RTSTRUCT its path, SOP Instance UID, and the rule that brought it here.
        fingerprint: what the outcome depends on.
    """

    case: str
    series_instance_uid: str
    ct: tuple[Path, ...]
    structure_sets: tuple[tuple[Path, str, str], ...]
    fingerprint: str


def prepare_case(task: Task, settings: Settings) -> CaseRecord:
    """Read one CT and its contours, write what can be learned from it, and say what was left out.

    `out/evaluation/<case>` and `out/cases/<case>.npz` are either whole or not there.
    """
    record = CaseRecord(
        case=task.case, series_instance_uid=task.series_instance_uid, fingerprint=task.fingerprint
    )
    partial = settings.out / PARTIAL / task.case
    for old in (settings.out / "evaluation" / task.case, partial):
        shutil.rmtree(old, ignore_errors=True)
    (settings.out / "cases" / f"{task.case}.npz").unlink(missing_ok=True)
    try:
        _link(task.ct, partial / "ct")
        series = read_even_series(partial / "ct")
        findings = (*series.findings, *check_series(series, accept_lossy=True))
        noted = tuple(Reason(code=f.code, message=f.message) for f in findings)
        return _with_contours(record.model_copy(update={"findings": noted}), series, task, settings)
    except PenumbraError as error:
        return record.model_copy(update={"reason": Reason(code=error.code, message=error.message)})
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _with_contours(record: CaseRecord, series: CTSeries, task: Task, settings: Settings) -> CaseRecord:
    chosen, sets, reason = choose(
        task.structure_sets, task.series_instance_uid, settings.roi_map, newest=settings.newest
    )
    record = record.model_copy(update={"structure_sets": tuple(sets)})
    if chosen is None:
        return record.model_copy(update={"reason": reason})
    structures, reason = read_structures(chosen, series, keep_unusual=settings.keep_unusual)
    unmatched = tuple(sorted(without_patient(name, chosen.patient_words) for name in chosen.unmatched))
    record = record.model_copy(
        update={
            "structures": tuple(structures[s.name].record for s in STRUCTURES),
            "unmatched_rois": unmatched,
            "reason": reason,
        }
    )
    shapes = {t.structure: t.shape for t in structures.values() if t.shape is not None and t.reason is None}
    if reason is not None or not shapes:
        return record if reason else record.model_copy(update={"reason": _incomplete(structures)})
    _write_evaluation(
        shapes, series, settings.out / PARTIAL / task.case, settings.out / "evaluation" / task.case
    )
    if len(shapes) < len(STRUCTURES):
        return record.model_copy(update={"evaluation": True, "reason": _incomplete(structures)})
    save_case(training_case(series, shapes), settings.out / "cases" / f"{task.case}.npz")
    return record.model_copy(update={"evaluation": True, "training": True})


def _incomplete(structures: Mapping[str, Taken]) -> Reason:
    missing = [s.name for s in STRUCTURES if structures[s.name].reason is not None]
    message = f"Without {', '.join(missing)}: a training case needs every structure."
    return Reason(code="incomplete", message=message)


def training_case(series: CTSeries, shapes: Mapping[str, Shape]) -> Case:
    """CT numbers and structures on the working grid, along the patient's axes whatever way the patient lay."""
    grid = working_grid(series, shapes)
    labels = np.zeros(grid.shape_zyx, np.uint8)
    for bit, row in enumerate(STRUCTURES):
        near = shapes[row.name].on(grid) if row.name in shapes else None
        if near is not None:
            box, distance_mm = near
            labels[box] |= (distance_mm > 0).astype(np.uint8) << bit
    hu = resample(series.hu, series.grid, grid, outside=AIR_HU)
    return Case(hu=hu, labels=labels, spacing_zyx_mm=CASE_SPACING_ZYX_MM)


def working_grid(series: CTSeries, shapes: Mapping[str, Shape]) -> Grid:
    """The grid of a training case.

    In x and y it is centred on the body as the localiser's field of view is, and as wide as the body; in z its planes
    meet the CT's first slice, and it reaches at most 120 mm beyond the structures.
    """
    step = max(1, min(series.hu.shape[1:]) // 128)
    body = np.argwhere(series.hu[:, ::step, ::step] > BODY_HU) * (1, step, step)
    points = series.grid.to_patient(body[:, ::-1])
    centre = points[:, :2].mean(0)
    width = np.minimum(2 * np.abs(points[:, :2] - centre).max(0) + 20, WIDEST_MM)
    ends = series.grid.to_patient([(0, 0, 0), (0, 0, series.hu.shape[0] - 1)])[:, 2]
    edges = [
        shape.grid.to_patient([(0, 0, 0), (0, 0, shape.grid.size_xyz[2] - 1)])[:, 2]
        for shape in shapes.values()
    ]
    dz, dy, dx = CASE_SPACING_ZYX_MM
    lowest = max(float(ends.min()), float(np.min(edges)) - AROUND_MM)
    highest = min(float(ends.max()), float(np.max(edges)) + AROUND_MM)
    low = float(ends.min()) + np.ceil((lowest - ends.min()) / dz - 1e-6) * dz
    size = [int(np.ceil(width[0] / dx)), int(np.ceil(width[1] / dy)), int((highest - low) / dz + 1e-6) + 1]
    return Grid(
        size_xyz=(size[0], size[1], size[2]),
        spacing_mm=(dx, dy, dz),
        origin_mm=(
            float(centre[0]) - (size[0] - 1) / 2 * dx,
            float(centre[1]) - (size[1] - 1) / 2 * dy,
            low,
        ),
        direction=LPS_AXES,
        frame_of_reference_uid=series.frame_of_reference_uid,
    )


def _write_evaluation(shapes: Mapping[str, Shape], series: CTSeries, partial: Path, folder: Path) -> None:
    """`truth.dcm` beside the CT's files, and both to where they stay."""
    around = _crop(series, shapes)
    fields = {truth_name(name): (_field(shape, around.grid), 0.5) for name, shape in shapes.items()}
    created = datetime.now(UTC)
    identity = ObjectIdentity(seed=f"{series.series_instance_uid} {created.isoformat()}", created=created)
    write_contours(around, fields, partial / "truth.dcm", identity=identity, label=LABEL)
    partial.rename(folder)


def _field(shape: Shape, grid: Grid) -> NDArray[np.float32]:
    """A field (z, y, x) that crosses 0.5 at the structure's edge, straight within 4 mm of it."""
    field = np.zeros(grid.shape_zyx, np.float32)
    near = shape.on(grid)
    if near is not None:
        box, distance_mm = near
        field[box] = np.clip(0.5 + distance_mm / STRAIGHT_MM, 0, 1)
    return field


def _crop(series: CTSeries, shapes: Mapping[str, Shape]) -> CTSeries:
    """The same slices, cut to the structures in x and y, so that their fields need little memory."""
    boxes = [near[0] for shape in shapes.values() if (near := shape.on(series.grid)) is not None]
    _, rows, columns = (
        slice(min(b[i].start for b in boxes), max(b[i].stop for b in boxes)) for i in range(3)
    )
    box = (slice(0, series.hu.shape[0]), rows, columns)
    move = series.grid.to_patient((columns.start, rows.start, 0)) - series.grid.to_patient((0, 0, 0))
    return replace(
        series,
        hu=series.hu[box],
        grid=part_of(series.grid, box),
        slice_positions_mm=series.slice_positions_mm + move,
    )


def _link(files: Sequence[Path], folder: Path) -> None:
    """Hard links, or copies where the file system has none, under names that tell nothing of the sources'."""
    folder.mkdir(parents=True)
    for number, source in enumerate(files, start=1):
        target = folder / f"{number:06d}.dcm"
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)
