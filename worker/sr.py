"""Volumes, quality, band and findings as a measurement report (PS3.3 A.35.13, PS3.16 TID 1500)."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from worker.draft_mark import bounds_text, made_by, mark, marked, quality_text
from worker.figures import Figures
from worker.patient_study import ObjectIdentity, object_uids, stamp
from worker.result import Result
from worker.source_images import source_images
from worker.structure_codes import (
    ANATOMICAL,
    BAND_MEAN,
    BAND_P95,
    BOUNDS,
    CALIBRATED,
    LOWER_VOLUME,
    NO,
    QUALITY,
    STRUCTURE_CODES,
    UNCALIBRATED,
    UPPER_VOLUME,
    VALIDATED,
    YES,
    scheme_identification,
)
from worker.uids import IMPLEMENTATION_CLASS_UID

_CC: Final = Code("cm3", "UCUM", "cubic centimeter")
_MM: Final = Code("mm", "UCUM", "millimeter")
_UNIT: Final = Code("1", "UCUM", "no units")
_COMMENT: Final = Code("121106", "DCM", "Comment")
_FINDINGS: Final = Code("121070", "DCM", "Findings")
_FINDING: Final = Code("121071", "DCM", "Finding")
_CT_OF_PELVIS: Final = Code("419394006", "SCT", "Computed tomography of pelvis")


def write_sr(result: Result, figures: Sequence[Figures], path: Path, *, identity: ObjectIdentity) -> None:
    """Write the report: PARTIAL, UNVERIFIED and PRELIMINARY, for a person has yet to look at the draft."""
    series = result.series
    series_uid, instance_uid = object_uids(series, identity, "sr")
    dataset = Comprehensive3DSR(
        evidence=source_images(series),
        content=_content(result, figures, identity),
        series_instance_uid=series_uid,
        series_number=4,
        sop_instance_uid=instance_uid,
        instance_number=1,
        manufacturer="Penumbra",
        is_complete=False,
        is_final=False,
        is_verified=False,
    )
    stamp(dataset, series, identity, description=marked(result, "AI DRAFT measurements"))
    dataset.CodingSchemeIdentificationSequence = scheme_identification()
    dataset.save_as(path, enforce_file_format=True)


def _content(result: Result, figures: Sequence[Figures], identity: ObjectIdentity) -> ContentSequence:
    observer = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=IMPLEMENTATION_CLASS_UID, name="Penumbra", manufacturer_name="Penumbra", model_name="Penumbra"
        ),
    )
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=_CT_OF_PELVIS,
        imaging_measurements=[_group(result, each, identity) for each in figures],
    )
    words = [*mark(result), "AI draft, to be reviewed", *made_by(result), f"{result.passes} passes"]
    report[0].ContentSequence.append(_text(_COMMENT, "; ".join(words)))
    if result.findings:
        report[0].ContentSequence.append(_findings(result))
    return report


def _group(
    result: Result, figures: Figures, identity: ObjectIdentity
) -> MeasurementsAndQualitativeEvaluations:
    structure = figures.structure
    code = STRUCTURE_CODES[structure.name]
    calibrated = structure.percent is not None
    site = FindingSite(anatomic_location=code.type, laterality=code.side)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=object_uids(result.series, identity, f"sr {structure.name}")[1], identifier=structure.name
        ),
        finding_type=code.type,
        finding_category=code.category,
        finding_sites=[site] if code.category == ANATOMICAL else None,
        algorithm_id=AlgorithmIdentification(
            name=f"Penumbra {result.bundle.name}",
            version=result.bundle.version,
            parameters=[f"sha256={result.bundle.sha256}", f"passes={result.passes}", f"seed={result.seed}"],
        ),
        measurements=list(_measurements(figures)),
        qualitative_evaluations=[
            QualitativeEvaluation(name=VALIDATED, value=YES if structure.quality_validated else NO),
            QualitativeEvaluation(name=BOUNDS, value=CALIBRATED if calibrated else UNCALIBRATED),
        ],
    )
    told = "; ".join([*mark(result), structure.name, quality_text(structure), bounds_text(structure)])
    group[0].ContentSequence.append(_text(_COMMENT, told))
    return group


def _measurements(figures: Figures) -> Iterator[Measurement]:
    """The numbers that mean something; quality only where it was shown to tell something."""
    yield Measurement(name=codes.SCT.Volume, value=figures.volume_cc, unit=_CC)
    yield Measurement(name=LOWER_VOLUME, value=figures.lower_cc, unit=_CC)
    yield Measurement(name=UPPER_VOLUME, value=figures.upper_cc, unit=_CC)
    for name, width in ((BAND_MEAN, figures.band.mean_mm), (BAND_P95, figures.band.p95_mm)):
        if not math.isnan(width):
            yield Measurement(name=name, value=round(width, 2), unit=_MM)
    if figures.structure.quality_validated:
        yield Measurement(name=QUALITY, value=round(figures.structure.quality, 4), unit=_UNIT)


def _findings(result: Result) -> ContainerContentItem:
    container = ContainerContentItem(name=_FINDINGS, relationship_type="CONTAINS")
    container.ContentSequence = ContentSequence(
        [_text(_FINDING, f"{finding.code}: {finding.message}") for finding in result.findings]
    )
    return container


def _text(name: Code, value: str) -> TextContentItem:
    plain = value.encode("ascii", "replace").decode("ascii")
    return TextContentItem(name=name, value=plain, relationship_type="CONTAINS")
