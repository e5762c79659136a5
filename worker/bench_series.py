"""A CT to measure a whole job with: one phantom in as many slices as wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.phantom.cohort import draw_patient, planning_lattice, scan
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.phantom_case import MATRIX, grid_of
from worker.uids import uid_from

SEED, CASE = 1, 4  # a long scan: 303 mm


def write_bench_series(folder: Path, *, slices: int, matrix: int = MATRIX) -> Path:
    """Write the same patient's CT in `slices` slices of `matrix`², `folder/*.dcm`; returns the folder."""
    patient = draw_patient(SEED, CASE)
    whole = planning_lattice(patient, SEED, CASE, matrix=matrix)
    lattice = replace(
        whole,
        shape_zyx=(slices, matrix, matrix),
        spacing_zyx_mm=(whole.extent_mm(0) / slices, *whole.spacing_zyx_mm[1:]),
    )
    name = f"bench-{slices}-{matrix}"
    write_ct_series(
        scan(patient, SEED, CASE, lattice),
        grid_of(lattice, frame_of_reference_uid=uid_from(name, "frame")),
        folder,
        patient=PatientIdentity(patient_id="BENCH", name="Phantom^Bench"),
        uid_seed=name,
    )
    return folder
