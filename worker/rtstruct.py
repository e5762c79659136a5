"""A result to an RTSTRUCT: mean, lower and upper contours of every structure, quality, the draft's mark."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from worker.contours import PlanarContour, nested_contours, planar_contours
from worker.draft_mark import made_by, mark, quality_text
from worker.errors import PenumbraError
from worker.patient_study import ObjectIdentity
from worker.result import Result, StructureResult
from worker.roi_naming import BOUNDS, DEFAULT_NAMING, RoiNaming
from worker.round_trip import prove, prove_fields
from worker.rtstruct_dataset import (
    Algorithm,
    Roi,
    StructureSetTexts,
    assemble,
)
from worker.series import CTSeries

_TRUTH_COLOURS: Final = (
    (0, 200, 0),
    (0, 160, 220),
    (220, 160, 0),
    (200, 0, 160),
    (120, 120, 255),
    (0, 200, 160),
)

__all__ = [
    "WrittenRtstruct",
    "build_rtstruct",
    "write_and_prove",
    "write_contours",
    "write_rtstruct",
]


@dataclass(frozen=True, kw_only=True)
class WrittenRtstruct:
    """What a written RTSTRUCT holds.

    Attributes:
        roi_names: per structure the ROI names of `mean`, `lower`, `upper`; one that is absent was not found.
        dsc: per ROI name the DSC of the round-trip proof.
    """

    roi_names: dict[str, dict[str, str]]
    dsc: dict[str, float]


def write_rtstruct(
    result: Result, path: Path, *, naming: RoiNaming = DEFAULT_NAMING, identity: ObjectIdentity
) -> dict[str, dict[str, str]]:
    """Write an RTSTRUCT, read it back and prove that it shows the result.

    Args:
        result: what segmentation found.
        path: the file; it appears only once the proof has succeeded.
        naming: names, types and colours of the ROIs.
        identity: UIDs and time of creation.

    Returns:
        Per structure the ROI names of `mean`, `lower` and `upper`; one that is absent was not found.

    Raises:
        RoundTripFailed: what was written is not what was computed.
        ResultImplausible: nothing was found, or it cannot be encoded.
    """
    return write_and_prove(result, path, naming=naming, identity=identity).roi_names


def write_and_prove(
    result: Result, path: Path, *, naming: RoiNaming = DEFAULT_NAMING, identity: ObjectIdentity
) -> WrittenRtstruct:
    """As `write_rtstruct`, and return the round-trip proof as well."""
    dataset = build_rtstruct(result, naming=naming, identity=identity)
    part = _write_beside(dataset, path)
    try:
        dsc = prove(dcmread(part), result, naming=naming)
    except PenumbraError:
        part.unlink()
        raise
    part.replace(path)
    names = {
        structure.name: {bound: name for bound, name in _names(structure, naming).items() if name in dsc}
        for structure in result.structures
    }
    return WrittenRtstruct(roi_names=names, dsc=dsc)


def build_rtstruct(
    result: Result, *, naming: RoiNaming = DEFAULT_NAMING, identity: ObjectIdentity
) -> Dataset:
    """The RTSTRUCT of a result: first all means, then the bounds; what has no contour is left out.

    Raises:
        ResultImplausible: nothing was found, or it cannot be encoded.
    """
    drawn = [roi for structure in result.structures for roi in _rois(structure, result, naming)]
    rois = [roi for bound, roi in drawn if bound == "mean"] + [roi for bound, roi in drawn if bound != "mean"]
    bundle = result.bundle
    algorithm = Algorithm(
        name=f"Penumbra {bundle.name}",
        version=bundle.version,
        parameters=f"sha256={bundle.sha256}; passes={result.passes}; seed={result.seed}; {result.device}",
    )
    return assemble(result.series, rois, _texts(result, naming, rois), identity, algorithm=algorithm)


def write_contours(
    series: CTSeries,
    fields: Mapping[str, tuple[NDArray[np.floating], float]],
    path: Path,
    *,
    identity: ObjectIdentity,
    label: str = "TRUTH",
) -> list[str]:
    """Write plain contours, such as a phantom's truth, as an RTSTRUCT, with the same proof.

    Args:
        series: the CT.
        fields: per ROI name a field (z, y, x) and the level at which its contour runs.
        path: the file.
        identity: UIDs and time of creation.
        label: Structure Set Label, at most 16 characters.

    Returns:
        The names of the ROIs that have contours.
    """
    rois = []
    for (name, (values, level)), colour in zip(fields.items(), _colours(), strict=False):
        contours = planar_contours(values, level, series, fill_holes=False)
        kind = "CTV" if name.startswith("CTV") else "ORGAN"
        if contours:
            rois.append(
                Roi(name=name, description=label, interpreted_type=kind, colour=colour, contours=contours)
            )
    texts = StructureSetTexts(label=label, name=label, description=label, series_description=label)
    part = _write_beside(assemble(series, rois, texts, identity), path)
    prove_fields(dcmread(part), series, fields)
    part.replace(path)
    return [roi.name for roi in rois]


def _write_beside(dataset: Dataset, path: Path) -> Path:
    part = path.with_name(f"{path.name}.part")
    dcmwrite(part, dataset, enforce_file_format=True, implicit_vr=True, little_endian=True)
    return part


def _colours() -> Iterator[tuple[int, int, int]]:
    while True:
        yield from _TRUTH_COLOURS


def _names(structure: StructureResult, naming: RoiNaming) -> dict[str, str]:
    return naming.written_names(structure.name, percent=structure.percent)


def _rois(structure: StructureResult, result: Result, naming: RoiNaming) -> Iterator[tuple[str, Roi]]:
    """The ROIs of one structure that are wanted and have contours, each with the bound it is."""
    names = _names(structure, naming)
    if not names:
        return
    fields = {"mean": structure.mean, "lower": structure.lower, "upper": structure.upper}
    contours = nested_contours(
        fields, structure.level, result.series, fill_holes=naming.style(structure.name).fill_holes
    )
    present = [bound for bound in BOUNDS if bound in names and contours[bound]]
    size = {"lower": 0, "mean": 1, "upper": 2}
    for bound in present:
        others = [other for other in present if other != bound]
        yield (
            bound,
            Roi(
                name=names[bound],
                description=_describe(structure, bound, result, contours[bound]),
                interpreted_type=naming.interpreted_type(structure.name, bound),
                colour=naming.colour(structure.name, bound),
                contours=contours[bound],
                related={
                    names[other]: "ENCLOSED" if size[other] > size[bound] else "ENCLOSING" for other in others
                },
            ),
        )


def _describe(structure: StructureResult, bound: str, result: Result, contours: list[PlanarContour]) -> str:
    """ROI Description in a fixed form that people and scripts can read."""
    parts = [*mark(result), *made_by(result), quality_text(structure), f"{result.passes} passes"]
    if bound == "mean":
        parts.append("mean contour")
    elif structure.percent is not None:
        parts.append(f"{bound} bound {structure.percent} %, calibrated")
    else:
        parts.append(f"{bound} bound, uncalibrated")
    slices = {contour.slice_index for contour in contours}
    gaps = max(slices) - min(slices) + 1 - len(slices)
    if gaps:
        parts.append(f"no contour on {gaps} slices between its ends")
    return "; ".join(parts)


def _texts(result: Result, naming: RoiNaming, rois: list[Roi]) -> StructureSetTexts:
    found = {roi.name for roi in rois}
    scores = ", ".join(f"{s.name} {quality_text(s)}" for s in result.structures)
    missing = [s.name for s in result.structures if not found.issuperset(_wanted_mean(s, naming))]
    parts = [*mark(result), "AI draft, to be reviewed", *made_by(result), f"{result.passes} passes", scores]
    if missing:
        parts.append(f"not found: {', '.join(missing)}")
    return StructureSetTexts(
        label="NOT CLINICAL" if mark(result) else naming.label,
        name=" - ".join([*mark(result), "Penumbra AI draft", *([naming.label] if mark(result) else [])]),
        description="; ".join(parts),
        series_description=" - ".join([*mark(result), "AI DRAFT Penumbra"]),
    )


def _wanted_mean(structure: StructureResult, naming: RoiNaming) -> set[str]:
    """The mean's name, if it is to be written."""
    return {name for bound, name in _names(structure, naming).items() if bound == "mean"}
