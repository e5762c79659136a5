"""ROIs and their texts to an RTSTRUCT data set that planning systems accept (PS3.3 A.19)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from worker.contours import PlanarContour, ring_area
from worker.errors import ResultImplausible
from worker.file_meta import file_meta
from worker.patient_study import ObjectIdentity, copy_patient_and_study, copy_undecoded
from worker.rt_utils_adapter import Reference, contour_item, roi_items, skeleton
from worker.series import CTSeries
from worker.software_version import SOFTWARE_VERSION
from worker.uids import uid_from

MAX_CONTOUR_DATA_BYTES: Final = 65_534
_FARTHEST_MM: Final = 10_000.0
_CONTOUR_DATA: Final = Tag("ContourData")


@dataclass(frozen=True, kw_only=True)
class StructureSetTexts:
    """What an import dialog shows. ASCII; at most 16, 64, 1024 and 64 characters."""

    label: str
    name: str
    description: str
    series_description: str


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """What made the contours (PS3.3 10.16)."""

    name: str
    version: str
    parameters: str


@dataclass(frozen=True, kw_only=True)
class Roi:
    """One ROI with its contours.

    Attributes:
        name: ROI name.
        description: ROI Description, at most 1024 characters.
        interpreted_type: RT ROI Interpreted Type.
        colour: red, green, blue, 0..255.
        contours: at least one.
        related: other ROIs by name that are `ENCLOSED` (they enclose this one) or `ENCLOSING` (this one
            encloses them), as PS3.3 C.8.8.8 has it.
    """

    name: str
    description: str
    interpreted_type: str
    colour: Sequence[int]
    contours: Sequence[PlanarContour]
    related: Mapping[str, str] = field(default_factory=dict)


def assemble(
    series: CTSeries,
    rois: Sequence[Roi],
    texts: StructureSetTexts,
    identity: ObjectIdentity,
    *,
    algorithm: Algorithm | None = None,
) -> Dataset:
    """An RTSTRUCT on a CT series.

    Args:
        series: the CT; patient, study and frame of reference are copied from it byte for byte.
        rois: at least one; numbered from 1 in this order.
        texts: names and descriptions of the structure set.
        identity: UIDs and time of creation.
        algorithm: what made the contours, if it was one.

    Raises:
        ResultImplausible: no ROI, or points that cannot be encoded.
    """
    if not rois:
        raise ResultImplausible("Not a single structure was found, so there is nothing to write.")
    dataset = skeleton(
        _references(series),
        study_uid=series.study_instance_uid,
        series_uid=series.series_instance_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
    )
    _add_identity(dataset, series, identity)
    _add_texts(dataset, texts)
    numbers = {roi.name: number for number, roi in enumerate(rois, start=1)}
    for roi in rois:
        _add_roi(dataset, roi, numbers, series)
    for item in dataset.StructureSetROISequence if algorithm else ():
        item.ROIDerivationAlgorithmIdentificationSequence = [_algorithm_item(algorithm)] if algorithm else []
    return dataset


def _references(series: CTSeries) -> list[Reference]:
    return [
        Reference(sop_class_uid=str(header.SOPClassUID), sop_instance_uid=uid)
        for header, uid in zip(series.headers, series.sop_instance_uids, strict=True)
    ]


def _add_identity(dataset: Dataset, series: CTSeries, identity: ObjectIdentity) -> None:
    """Everything about patient, study, equipment and time that rt-utils left out or made up."""
    for keyword in ("PatientAge", "PatientSize", "PatientWeight", "StudyDescription", "InstitutionName"):
        if keyword in dataset:
            delattr(dataset, keyword)
    copy_patient_and_study(series.headers[0], dataset)
    copy_undecoded(series.headers[0], dataset, "PositionReferenceIndicator", required=True)
    dataset.StudyInstanceUID = series.study_instance_uid
    dataset.FrameOfReferenceUID = series.frame_of_reference_uid
    dataset.SOPInstanceUID = uid_from(identity.seed, series.series_instance_uid, "instance")
    dataset.SeriesInstanceUID = uid_from(identity.seed, series.series_instance_uid, "series")
    date, time = identity.created.strftime("%Y%m%d"), identity.created.strftime("%H%M%S")
    for keyword in ("InstanceCreationDate", "SeriesDate", "StructureSetDate"):
        setattr(dataset, keyword, date)
    for keyword in ("InstanceCreationTime", "SeriesTime", "StructureSetTime"):
        setattr(dataset, keyword, time)
    dataset.Manufacturer = "Penumbra"
    dataset.ManufacturerModelName = "Penumbra"
    dataset.SoftwareVersions = SOFTWARE_VERSION
    dataset.OperatorsName = ""
    dataset.SeriesNumber = "1"
    dataset.InstanceNumber = "1"
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.file_meta = file_meta(RTStructureSetStorage, dataset.SOPInstanceUID, ImplicitVRLittleEndian)


def _add_texts(dataset: Dataset, texts: StructureSetTexts) -> None:
    dataset.StructureSetLabel = _text(texts.label, 16)
    dataset.StructureSetName = _text(texts.name, 64)
    dataset.StructureSetDescription = _text(texts.description, 1024)
    dataset.SeriesDescription = _text(texts.series_description, 64)


def _add_roi(dataset: Dataset, roi: Roi, numbers: Mapping[str, int], series: CTSeries) -> None:
    """The ROI's items in the three sequences."""
    number = numbers[roi.name]
    structure, observation = roi_items(
        number, roi.name, _text(roi.description, 1024), series.frame_of_reference_uid
    )
    structure.ROIGenerationAlgorithm = "AUTOMATIC"
    structure.ROIVolume = f"{_volume_cc(roi, series):.3f}"
    observation.RTROIInterpretedType = roi.interpreted_type
    observation.ROIInterpreter = ""
    related = [_related_item(numbers[n], relationship) for n, relationship in roi.related.items()]
    if related:
        observation.RTRelatedROISequence = related
    references = _references(series)
    contour = Dataset()
    contour.ROIDisplayColor = list(roi.colour)
    contour.ContourSequence = DicomSequence(
        _contour(planar, number_in_roi, references[planar.slice_index])
        for number_in_roi, planar in enumerate(roi.contours, start=1)
    )
    contour.ReferencedROINumber = number
    dataset.StructureSetROISequence.append(structure)
    dataset.ROIContourSequence.append(contour)
    dataset.RTROIObservationsSequence.append(observation)


def _contour(planar: PlanarContour, number: int, reference: Reference) -> Dataset:
    item = contour_item(reference)
    item.ContourNumber = number
    item.NumberOfContourPoints = len(planar.points_mm)
    data = _contour_data(planar)
    # As raw bytes: pydicom would make an object of every single number.
    item[_CONTOUR_DATA] = RawDataElement(
        tag=_CONTOUR_DATA,
        VR="DS",
        length=len(data),
        value=data,
        value_tell=0,
        is_implicit_VR=True,
        is_little_endian=True,
    )
    return item


def _contour_data(planar: PlanarContour) -> bytes:
    """Points as decimal strings of at most three decimals, even in length (PS3.5 6.2, VR DS)."""
    points = planar.points_mm
    if len(points) < 3 or not np.isfinite(points).all() or np.abs(points).max() >= _FARTHEST_MM:
        raise ResultImplausible(f"A contour of {len(points)} points cannot be written.")
    data = "\\".join([f"{number:.10g}" for number in points.ravel().tolist()]).encode("ascii")
    if len(data) > MAX_CONTOUR_DATA_BYTES:
        raise ResultImplausible(f"A contour of {len(points)} points is too long for an RTSTRUCT.")
    return data + b" " * (len(data) % 2)


def _volume_cc(roi: Roi, series: CTSeries) -> float:
    """Area of the polygons times the height that their slices stand for, as most planning systems define it."""
    axes = np.asarray(series.grid.direction).reshape(3, 3)[:, :2]
    step_mm = series.grid.spacing_mm[2]
    steps = series.grid.slice_extents_mm / step_mm  # all 1 where slices are evenly spaced
    area_mm2 = sum(abs(ring_area(c.points_mm @ axes)) * float(steps[c.slice_index]) for c in roi.contours)
    return area_mm2 * step_mm / 1000


def _related_item(number: int, relationship: str) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = number
    item.RTROIRelationship = relationship
    return item


def _algorithm_item(algorithm: Algorithm) -> Dataset:
    family = Dataset()
    family.CodeValue = "123110"
    family.CodingSchemeDesignator = "DCM"
    family.CodeMeaning = "Artificial Intelligence"
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [family]
    item.AlgorithmName = _text(algorithm.name, 64)
    item.AlgorithmVersion = _text(algorithm.version, 64)
    item.AlgorithmParameters = _text(algorithm.parameters, 10240)
    return item


def _text(text: str, limit: int) -> str:
    """ASCII without backslashes, cut to length: what every character set can hold."""
    return text.encode("ascii", "replace").decode("ascii").replace("\\", "/")[:limit].rstrip()
