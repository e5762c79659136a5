"""Phantom patients as DICOM: a CT series and the RTSTRUCT of its truth."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.phantom.cohort import scan
from models.phantom.lattice import Lattice
from models.phantom.scenario import ORDINARY, Scenario
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.grid import Grid
from worker.patient_study import ObjectIdentity
from worker.rtstruct import write_contours
from worker.series import read_series
from worker.uids import uid_from
from worker.voi import LPS_AXES

MATRIX = 512
CREATED = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)  # fixed, so that the same seed gives the same bytes


def write_phantom_case(
    folder: Path, *, seed: int, index: int, matrix: int = MATRIX, scenario: Scenario = ORDINARY
) -> Path:
    """Write case `index` of a seed as `folder/case-NNNN/ct/*.dcm` and `truth.dcm`; returns the case's folder.

    The truth's contours run on the CT's own slices, at sub-pixel precision, from the analytic shapes: the organs, the
    mean observer's CTV, and each observer's.
    """
    patient, lattice = scenario.draw(seed, index, matrix=matrix)
    name = f"phantom-{seed}-{index}-{matrix}" + ("" if scenario == ORDINARY else f"-{scenario.name}")
    case = folder / case_name(index)
    write_ct_series(
        scan(patient, seed, index, lattice),
        grid_of(lattice, frame_of_reference_uid=uid_from(name, "frame")),
        case / "ct",
        patient=PatientIdentity(patient_id=f"PHANTOM{seed}-{index}", name=f"Phantom^S{seed}^N{index}"),
        uid_seed=name,
    )
    series = read_series(case / "ct")
    fields = {
        name: (_as_probability(field), 0.5) for name, field in patient.truth(lattice, observers=True).items()
    }
    digest = hashlib.sha256(name.encode()).hexdigest()
    write_contours(
        series,
        {truth_name(name): field for name, field in fields.items()},
        case / "truth.dcm",
        identity=ObjectIdentity(seed=f"truth-{digest}", created=CREATED),
    )
    return case


def case_name(index: int) -> str:
    """The folder of case `index`."""
    return f"case-{index:04d}"


def truth_name(structure: str) -> str:
    """The ROI name of a structure in `truth.dcm`: the CTV is the "surgical bed" (TG-263), the true one has no ^AI."""
    return structure.replace("CTV", "CTVsb")


def grid_of(lattice: Lattice, *, frame_of_reference_uid: str) -> Grid:
    """A phantom's lattice as a grid in the patient (head first, supine)."""
    z, y, x = lattice.shape_zyx
    dz, dy, dx = lattice.spacing_zyx_mm
    oz, oy, ox = lattice.origin_zyx_mm
    return Grid(
        size_xyz=(x, y, z),
        spacing_mm=(dx, dy, dz),
        origin_mm=(ox, oy, oz),
        direction=LPS_AXES,
        frame_of_reference_uid=frame_of_reference_uid,
    )


def _as_probability(field_mm: np.ndarray) -> np.ndarray:
    """Distance (negative inside) to a field that crosses 0.5 at the surface, straight within 4 mm of it."""
    return np.asarray(np.clip(0.5 - field_mm / 8, 0, 1), dtype=np.float32)
