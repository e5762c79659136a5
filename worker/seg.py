"""Mean probability and band as DICOM Segmentation objects, on the CT's own slices (PS3.3 A.51)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from worker.draft_mark import bounds_text, made_by, mark, marked, quality_text
from worker.patient_study import ObjectIdentity, copy_undecoded, object_uids, stamp
from worker.result import Result, StructureResult
from worker.roi_naming import DEFAULT_NAMING
from worker.software_version import SOFTWARE_VERSION
from worker.source_images import source_images
from worker.structure_codes import BAND, SPATIAL, STRUCTURE_CODES, code_sequence, scheme_identification

MAX_FRACTION: Final = 255


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One of the two objects: what its voxels are and what it says of itself."""

    name: str
    series_number: int
    label: str
    text: str
    voxels: Callable[[StructureResult], NDArray[np.generic]]
    fractional: bool


def _band(structure: StructureResult) -> NDArray[np.generic]:
    return (structure.upper >= structure.level) & (structure.lower < structure.level)


_MEAN: Final = _Kind(
    name="seg-mean",
    series_number=2,
    label="PROBABILITY",
    text="mean probability",
    voxels=lambda structure: structure.mean,
    fractional=True,
)
_BAND: Final = _Kind(
    name="seg-band",
    series_number=3,
    label="BAND",
    text="band between the bounds",
    voxels=_band,
    fractional=False,
)


def write_mean_seg(result: Result, path: Path, *, identity: ObjectIdentity) -> bool:
    """Write the mean probabilities, one segment per structure: FRACTIONAL, PROBABILITY, 0 to 255, RLE.

    Returns:
        False, and no file, if nothing was found.
    """
    return _write(result, path, _MEAN, identity)


def write_band_seg(result: Result, path: Path, *, identity: ObjectIdentity) -> bool:
    """Write where the bounds differ, one segment per structure: BINARY, inside the upper, outside the lower.

    Returns:
        False, and no file, if there is no band.
    """
    return _write(result, path, _BAND, identity)


def _write(result: Result, path: Path, kind: _Kind, identity: ObjectIdentity) -> bool:
    series = result.series
    fields = {s.name: kind.voxels(s) for s in result.structures}
    found = [s for s in result.structures if fields[s.name].any()]
    if not found:
        return False
    filled = np.flatnonzero(np.any([fields[s.name].any(axis=(1, 2)) for s in found], axis=0))
    slices = slice(int(filled[0]), int(filled[-1]) + 1)
    series_uid, instance_uid = object_uids(series, identity, kind.name)
    dataset = Segmentation(
        source_images=source_images(series)[slices],
        pixel_array=_stack([fields[s.name] for s in found], slices, fractional=kind.fractional),
        segmentation_type="FRACTIONAL" if kind.fractional else "BINARY",
        fractional_type="PROBABILITY",
        max_fractional_value=MAX_FRACTION,
        segment_descriptions=[
            _description(result, s, number, kind=kind, identity=identity)
            for number, s in enumerate(found, start=1)
        ],
        series_instance_uid=series_uid,
        series_number=kind.series_number,
        sop_instance_uid=instance_uid,
        instance_number=1,
        manufacturer="Penumbra",
        manufacturer_model_name="Penumbra",
        software_versions=SOFTWARE_VERSION,
        device_serial_number=result.bundle.sha256[:16],
        # PS3.5 8.2.2: run lengths are for whole bytes, and a binary segmentation packs eight pixels in one.
        transfer_syntax_uid=RLELossless if kind.fractional else ExplicitVRLittleEndian,
        content_label=kind.label,
        content_description=marked(result, kind.text),
    )
    stamp(dataset, series, identity, description=marked(result, f"AI DRAFT {kind.text}"))
    copy_undecoded(series.headers[0], dataset, "PositionReferenceIndicator", required=True)
    dataset.CodingSchemeIdentificationSequence = scheme_identification()
    dataset.save_as(path, enforce_file_format=True)
    return True


def _stack(
    fields: Sequence[NDArray[np.generic]], slices: slice, *, fractional: bool
) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Fields (z, y, x) of several structures as highdicom wants them: (z, y, x, segment)."""
    block = fields[0][slices].shape
    stack = np.zeros((*block, len(fields)), np.float32 if fractional else np.uint8)
    for number, field in enumerate(fields):
        rows = np.flatnonzero(field[slices].any(axis=(0, 2)))
        inside = slice(rows[0], rows[-1] + 1)  # the rest stays memory that was never touched
        stack[:, inside, :, number] = np.clip(field[slices, inside], 0, 1)
    return stack


def _description(
    result: Result, structure: StructureResult, number: int, *, kind: _Kind, identity: ObjectIdentity
) -> SegmentDescription:
    code = STRUCTURE_CODES[structure.name]
    item = SegmentDescription(
        segment_number=number,
        segment_label=structure.name if kind.fractional else f"{structure.name} band",
        segmented_property_category=code.category if kind.fractional else SPATIAL,
        segmented_property_type=code.type if kind.fractional else BAND,
        algorithm_type="AUTOMATIC",
        algorithm_identification=_algorithm(result),
        tracking_uid=object_uids(result.series, identity, f"{kind.name} {structure.name}")[1],
        tracking_id=f"{structure.name} {kind.text}",
        anatomic_regions=None if kind.fractional or code.category == SPATIAL else [code.type],
        display_color=CIELabColor.from_rgb(*DEFAULT_NAMING.colour(structure.name, "mean")),
    )
    if kind.fractional and code.side is not None:
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = code_sequence(
            code.side
        )
    item.SegmentDescription = "; ".join(
        [
            *mark(result),
            "AI draft, to be reviewed",
            *made_by(result),
            quality_text(structure),
            bounds_text(structure),
        ]
    )[:1024]
    return item


def _algorithm(result: Result) -> AlgorithmIdentificationSequence:
    bundle = result.bundle
    return AlgorithmIdentificationSequence(
        name=f"Penumbra {bundle.name}"[:64],
        family=codes.DCM.ArtificialIntelligence,
        version=bundle.version[:64],
        parameters={"sha256": bundle.sha256, "passes": str(result.passes), "seed": str(result.seed)},
    )
