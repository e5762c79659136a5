"""From measured cases to a calibration record: κ per structure, and what quality says about an organ's DSC."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from models.bundle import Manifest
from models.calibration.conformal import CalibrationError, choose_kappa, curve, least_cases
from models.calibration.quality import COVERAGE, fit_quality
from models.calibration.record import BandRecord, CalibrationRecord, QualityRecord
from models.evaluation.quality_scores import rank_correlation
from models.structures import ORGANS, STRUCTURES
from worker.calibration_case import Measured, MeasuredCase, Passes, measure_case
from worker.case_pool import OnCase, case_folders, over_cases
from worker.errors import Failed

RANK_THAT_TELLS = 0.5  # Spearman's; below it quality is not shown as if it said something
MEASURED = "measured"
DATA_HASH_OF = "the SHA-256 of each case's ct/ and truth.dcm, sorted"


class CalibrationFailed(Failed):
    """These cases cannot calibrate this bundle."""

    code = "calibration-failed"


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan:
    """What to calibrate, and on what.

    Attributes:
        cases_dir: folder of `case-*` folders with `ct/` and `truth.dcm`; none of them seen in training or tests.
        out: keeps what was measured, so that a stopped calibration goes on.
        how: bundle and passes.
        alpha: share of the reference surface that may lie outside, on average over cases.
        jobs: cases at a time.
    """

    cases_dir: Path
    out: Path
    how: Passes
    alpha: float = 0.05
    jobs: int = 1


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The cases as measured, the record made of them, and what could not be had from them, in words."""

    cases: Mapping[str, MeasuredCase]
    record: CalibrationRecord
    missing: tuple[str, ...]


def calibrate(plan: CalibrationPlan, *, command: str, on_case: OnCase) -> Calibration:
    """Measure every case, then choose.

    Raises:
        CalibrationFailed: there are too few cases.
    """
    folders = case_folders(plan.cases_dir)
    least = least_cases(plan.alpha)
    if len(folders) < least:
        raise CalibrationFailed(
            f"There are {len(folders)} cases below {plan.cases_dir}; α = {plan.alpha:g} needs at least {least}.",
            remedy="Give more cases (folders with ct/ and truth.dcm), or a larger --alpha.",
        )
    work = partial(measure_case, plan.how, plan.out / MEASURED)
    measured = over_cases(work, folders, jobs=plan.jobs, on_case=on_case)
    return conclude(measured, plan, command=command)


def conclude(cases: Mapping[str, MeasuredCase], plan: CalibrationPlan, *, command: str) -> Calibration:
    """The record of measured cases. A structure that they cannot calibrate keeps the paper's band."""
    bands, quality, missing = {}, {}, []
    for row in STRUCTURES:
        own = of_structure(cases, row.name)
        try:
            bands[row.name] = _band(own, skipped=len(cases) - len(own), alpha=plan.alpha)
        except CalibrationError as error:
            missing.append(f"{row.name} keeps the paper's band. {error}")
        if row in ORGANS:
            try:
                quality[row.name] = _quality(own)
            except CalibrationError as error:
                missing.append(f"No DSC is predicted for {row.name}. {error}")
    digests = sorted(case.sha256 for case in cases.values())
    record = CalibrationRecord(
        alpha=plan.alpha,
        passes=plan.how.passes,
        cases=len(cases),
        not_contoured=sum(case.structures is None for case in cases.values()),
        bands=bands,
        quality=quality,
        data_sha256=hashlib.sha256("".join(digests).encode()).hexdigest(),
        data_hash_of=DATA_HASH_OF,
        date=date.today(),
        weights=dict(plan.how.weights),
        command=command,
    )
    return Calibration(cases=cases, record=record, missing=tuple(missing))


def of_structure(cases: Mapping[str, MeasuredCase], name: str) -> list[Measured]:
    """One structure in all cases that have it and in which it was found."""
    return [case.structures[name] for case in cases.values() if case.structures and name in case.structures]


def calibrated(manifest: Manifest, record: CalibrationRecord) -> Manifest:
    """A manifest with its calibration record: from now on calibrated bounds are the default."""
    return manifest.model_copy(update={"calibration": record, "bounds": "calibrated"})


def _band(own: Sequence[Measured], *, skipped: int, alpha: float) -> BandRecord:
    ratios = [one.ratios for one in own]
    kappa = choose_kappa(ratios, alpha=alpha)
    scale = float(np.mean([one.scale_mm for one in own]))
    return BandRecord(
        cases=len(own),
        skipped=skipped,
        kappa=round_up(kappa.value),
        s0_mm=own[0].s0_mm,
        risk=round(kappa.risk, 5),
        held_out_risk=round(kappa.held_out_risk, 5) if math.isfinite(kappa.held_out_risk) else None,
        paper_risk=round(float(np.mean([one.paper_outside for one in own])), 5),
        width_mm=round(2 * kappa.value * scale, 3),
        curve=tuple((round(k, 4), round(risk, 5)) for k, risk in curve(ratios, kappa.value)),
    )


def _quality(own: Sequence[Measured]) -> QualityRecord:
    quality, dsc = [one.quality for one in own], [one.dsc for one in own]
    rank = rank_correlation(quality, dsc)
    fitted = fit_quality(quality, dsc)
    return QualityRecord(
        cases=len(own),
        rank_correlation=round(rank, 4) if math.isfinite(rank) else None,
        validated=math.isfinite(rank) and rank >= RANK_THAT_TELLS,
        coverage=COVERAGE,
        quality=fitted.quality,
        dsc=fitted.dsc,
        low=fitted.low,
        high=fitted.high,
    )


def round_up(kappa: float, *, digits: int = 4) -> float:
    """κ as the manifest holds it: never smaller than what was chosen."""
    return float(math.ceil(kappa * 10**digits) / 10**digits)
