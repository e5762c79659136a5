"""A folder of DICOM files to one CT series: HU volume, grid, identity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.acquisitions import check_acquisitions
from worker.decode import Compressed, decode_pixels
from worker.errors import (
    DuplicatePosition,
    MissingAttribute,
    MissingSlices,
    MixedSeries,
    NotCT,
    TooFewSlices,
    TooLarge,
    UnreadableInstance,
)
from worker.finding import Finding
from worker.grid import Grid
from worker.instance_files import InstanceFile, name_some, read_ct_headers
from worker.slice_geometry import SlicePlane, stack_slices
from worker.unchecked_values import numbers_of

MIN_SLICES: Final = 20
MAX_VOXELS: Final = 400_000_000
HU_MIN: Final = -1024
HU_MAX: Final = 32767
HU_TYPES: Final = frozenset({"", "HU", "US", "HU_MOD", "HOUNSFIELD"})  # old scanners leave it unspecified
NOT_TISSUE_HU: Final = (-500, HU_MAX)  # below or above, a padding value cannot hide anything of the patient
Default = TypeVar("Default", int, None)
UPRIGHT: Final = np.cos(np.deg2rad(45))


@dataclass(frozen=True, kw_only=True)
class CTSeries:
    """One CT series.

    Attributes:
        hu: CT numbers (z, y, x), int16, at least -1024; z rises along the normal of the slices
            (inferior to superior for a patient scanned head first).
        grid: where the voxels lie, which may be unevenly spaced along z (`worker/slice_geometry.py`).
        slice_positions_mm: Image Position (Patient) of each slice (z, 3), LPS.
        headers: the instances without their pixels, in the order of `hu`. Identity attributes in them are
            not decoded, so that they can be copied byte for byte; treat them as read-only.
        series_instance_uid: the series.
        study_instance_uid: its study.
        frame_of_reference_uid: the frame of `grid`.
        sop_instance_uids: one per slice, in the order of `hu`.
        findings: lesser doubts met while reading.
    """

    hu: NDArray[np.int16]
    grid: Grid
    slice_positions_mm: NDArray[np.float64]
    headers: tuple[Dataset, ...]
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str
    sop_instance_uids: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def read_series(folder: Path) -> CTSeries:
    """Read the one CT series below a folder, whatever the files' order and names.

    The causes that nothing but another series can cure are told before those that a resend cures, and the
    geometry before the mere number of slices.

    Raises:
        Rejected: one of its subclasses, with the instance named.
    """
    instances, findings = read_ct_headers(folder)
    _check_one_series(instances)
    instances, copies = _without_copies(instances)
    instances, aside = _without_other_planes(instances)
    findings += [*copies, *aside]
    for instance in instances:
        _check_values(instance)
        _check_pixels_complete(instance)
    planes = [_plane(instance) for instance in instances]
    frame_of_reference_uid = instances[0].text("FrameOfReferenceUID")
    stack = stack_slices(planes, frame_of_reference_uid)
    _check_one_study(instances)
    findings += check_acquisitions([(i.label, i.text("AcquisitionNumber")) for i in instances], planes)
    if len(instances) < MIN_SLICES:
        raise TooFewSlices(f"The series has {len(instances)} slices; at least {MIN_SLICES} are needed.")
    if np.prod(stack.grid.size_xyz, dtype=np.int64) > MAX_VOXELS:
        raise TooLarge(f"The series has {stack.grid.size_xyz} voxels; at most {MAX_VOXELS} are accepted.")
    ordered = [instances[i] for i in stack.order]
    findings += _doubt_padding(ordered)
    headers = tuple(instance.header for instance in ordered)
    return CTSeries(
        hu=_read_hu(ordered, stack.grid.shape_zyx),
        grid=stack.grid,
        slice_positions_mm=np.array([planes[i].position_mm for i in stack.order]),
        headers=headers,
        series_instance_uid=str(headers[0].SeriesInstanceUID),
        study_instance_uid=str(headers[0].StudyInstanceUID),
        frame_of_reference_uid=frame_of_reference_uid,
        sop_instance_uids=tuple(str(header.SOPInstanceUID) for header in headers),
        findings=(*findings, *stack.findings),
    )


def read_even_series(folder: Path) -> CTSeries:
    """As `read_series`, for what measures in voxels and therefore needs evenly spaced slices.

    Raises:
        Rejected: as `read_series`, and MissingSlices for uneven spacing.
    """
    series = read_series(folder)
    if series.grid.is_uneven:
        told = " ".join(f.message for f in series.findings if f.code == "uneven-spacing")
        raise MissingSlices(
            f"The slices are unevenly spaced. {told}",
            remedy="Send a series that is evenly spaced; `penumbra segment` takes this one as it is.",
        )
    return series


def _check_one_series(instances: Sequence[InstanceFile]) -> None:
    series = sorted({i.text("SeriesInstanceUID") for i in instances} - {""})
    if len(series) > 1:
        raise MixedSeries(f"Instances of {len(series)} series were given together: {' and '.join(series)}.")
    _check_present(instances, ("SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID"))


def _check_one_study(instances: Sequence[InstanceFile]) -> None:
    """Asked after the geometry: anonymised series often lack the frame, and a tilt is the better reason."""
    _check_present(instances, ("StudyInstanceUID", "FrameOfReferenceUID"))
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        values = sorted({i.text(keyword) for i in instances})
        if len(values) > 1:
            raise MixedSeries(f"The series has more than one {keyword}: {' and '.join(values)}.")


def _check_present(instances: Sequence[InstanceFile], keywords: Sequence[str]) -> None:
    for instance in instances:
        for keyword in keywords:
            if not instance.text(keyword):
                raise _missing(instance, keyword)


def _without_copies(instances: Sequence[InstanceFile]) -> tuple[list[InstanceFile], list[Finding]]:
    """Leave out files that repeat an instance bit for bit."""
    kept: dict[str, InstanceFile] = {}
    for instance in instances:
        first = kept.setdefault(str(instance.header.SOPInstanceUID), instance)
        if first is not instance and first.path.read_bytes() != instance.path.read_bytes():
            raise DuplicatePosition(f"Instance {instance.label} is there twice, with different content.")
    copies = len(instances) - len(kept)
    finding = Finding(code="copies", message=f"{copies} files repeat an instance that was already there.")
    return list(kept.values()), [finding] if copies else []


def _without_other_planes(
    instances: list[InstanceFile],
) -> tuple[list[InstanceFile], list[Finding]]:
    """Leave out sagittal and coronal images (scout views without their mark, reformats) of a transverse series."""
    others = [i for i in instances if _is_upright(i.header)]
    kept = [i for i in instances if i not in others]
    if not others or len(kept) < MIN_SLICES:
        return instances, []
    named = name_some(others)
    message = (
        f"{len(others)} images that are not transverse were set aside among {len(kept)} that are: {named}."
    )
    return kept, [Finding(code="other-planes-left-out", message=message)]


def _is_upright(header: Dataset) -> bool:
    """Whether the image's plane is rather sagittal or coronal than transverse; False if it cannot be told."""
    orientation = numbers_of(header, "ImageOrientationPatient", 6)
    return orientation is not None and bool(abs(np.cross(orientation[:3], orientation[3:])[2]) < UPRIGHT)


def _check_values(instance: InstanceFile) -> None:
    """Stored values must become CT numbers: a slope above zero, and no other quantity (PS3.3 C.11.1.1.2)."""
    kind = instance.text("RescaleType")
    if kind.upper() not in HU_TYPES:
        raise NotCT(f"Instance {instance.label} holds values of the type {kind[:16]!r}, not CT numbers (HU).")
    if "RescaleSlope" in instance.header and _numbers(instance, "RescaleSlope", 1)[0] <= 0:
        raise _missing(instance, "RescaleSlope")


def _check_pixels_complete(instance: InstanceFile) -> None:
    kind = instance.text("PhotometricInterpretation") or "MONOCHROME2"
    if kind not in {"MONOCHROME1", "MONOCHROME2"}:  # PS3.3 C.8.2.1.1.2
        raise UnreadableInstance(
            f"Instance {instance.label} has a Photometric Interpretation that no CT image has.",
            remedy="Send the original CT images, not pictures made of them.",
        )
    rows, columns = (int(_numbers(instance, keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    if (int(_numbers(instance, "SamplesPerPixel", 1)[0]), int(_numbers(instance, "BitsAllocated", 1)[0])) != (
        1,
        16,
    ):
        raise UnreadableInstance(
            f"Instance {instance.label} does not hold one 16-bit number per pixel, as CT does.",
            remedy="Send the original CT images, not pictures made of them.",
        )
    if instance.is_compressed and min(rows, columns) >= 2:
        return  # the decoder will see
    if rows < 2 or columns < 2 or instance.pixel_bytes < 2 * rows * columns:
        raise UnreadableInstance(
            f"Instance {instance.label} is cut off: {instance.pixel_bytes} of {2 * rows * columns} bytes of "
            "pixels are there."
        )


def _plane(instance: InstanceFile) -> SlicePlane:
    spacing = _numbers(instance, "PixelSpacing", 2)
    orientation = _numbers(instance, "ImageOrientationPatient", 6)
    lengths = np.linalg.norm(orientation.reshape(2, 3), axis=1)
    if spacing.min() <= 0 or np.abs(lengths - 1).max() > 0.01:
        raise _missing(instance, "PixelSpacing" if spacing.min() <= 0 else "ImageOrientationPatient")
    return SlicePlane(
        label=instance.label,
        position_mm=_numbers(instance, "ImagePositionPatient", 3),
        orientation=(orientation.reshape(2, 3) / lengths[:, None]).ravel(),
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        shape=(int(instance.header.Rows), int(instance.header.Columns)),
    )


def _numbers(instance: InstanceFile, keyword: str, count: int) -> NDArray[np.float64]:
    """An attribute's numbers (count,), or MissingAttribute."""
    numbers = numbers_of(instance.header, keyword, count)
    if numbers is None:
        raise _missing(instance, keyword)
    return numbers


def _integer(instance: InstanceFile, keyword: str, default: Default) -> int | Default:
    """An attribute's one number, the default where it is absent or empty, or MissingAttribute where it is neither."""
    raw = instance.header.get_item(keyword) if keyword in instance.header else None
    if raw is None or raw.value in (None, b"", ""):
        return default
    return int(_numbers(instance, keyword, 1)[0])


def _missing(instance: InstanceFile, keyword: str) -> MissingAttribute:
    return MissingAttribute(f"Instance {instance.label} has no usable {keyword}.")


def _read_hu(instances: Sequence[InstanceFile], shape_zyx: tuple[int, int, int]) -> NDArray[np.int16]:
    """CT numbers (z, y, x) of checked instances; padding becomes -1024 (PS3.3 C.11.1, C.7.5.1.1.2)."""
    hu = np.empty(shape_zyx, dtype=np.int16)
    for target, instance, data in zip(hu, instances, _stored_bytes(instances), strict=True):
        stored = _stored_values(instance, data)
        slope, intercept = _rescale(instance)
        if slope == 1 and intercept.is_integer() and abs(intercept) < 2**30:
            values: NDArray[np.generic] = stored.astype(np.int32) + np.int32(intercept)
        else:
            values = np.rint(stored * np.float64(slope) + intercept)
        target[:] = np.clip(values, HU_MIN, HU_MAX).reshape(target.shape)
        padding = _padding_range(instance)
        if padding is not None and not _hides_tissue(instance, padding):
            target[((stored >= padding[0]) & (stored <= padding[1])).reshape(target.shape)] = HU_MIN
    return hu


def _rescale(instance: InstanceFile) -> tuple[float, float]:
    """Slope and intercept that make CT numbers of stored values (PS3.3 C.11.1.1.2)."""
    slope, intercept = (_numbers(instance, k, 1) for k in ("RescaleSlope", "RescaleIntercept"))
    return float(slope[0]), float(intercept[0])


def _stored_bytes(instances: Sequence[InstanceFile]) -> Iterator[bytes]:
    """Stored pixels of each instance, rows x columns x 16 bits, in its byte order."""
    compressed = [i for i in instances if i.is_compressed]
    decoded = iter(decode_pixels([_to_decode(i) for i in compressed]))
    for instance in instances:
        if instance.is_compressed:
            yield next(decoded).read()
        else:
            yield instance.native_pixels(2 * int(instance.header.Rows) * int(instance.header.Columns))


def _to_decode(instance: InstanceFile) -> Compressed:
    return Compressed(
        path=instance.path,
        label=instance.label,
        syntax=instance.transfer_syntax or "",
        rows=int(instance.header.Rows),
        columns=int(instance.header.Columns),
    )


def _stored_values(instance: InstanceFile, stored: bytes) -> NDArray[np.integer]:
    """Pixel values (rows x columns,) as they are stored, with bits above High Bit removed (PS3.5 8.1.1)."""
    kind = "i2" if _integer(instance, "PixelRepresentation", 0) else "u2"
    order = "<" if instance.is_compressed else instance.byte_order
    values = np.frombuffer(stored, dtype=order + kind).astype(kind, copy=False)
    stored_bits = _integer(instance, "BitsStored", 16) or 16
    high_bit = _integer(instance, "HighBit", 0) or stored_bits - 1
    if not 0 < stored_bits <= high_bit + 1 <= 16:
        raise _missing(instance, "BitsStored")
    if stored_bits == 16:
        return values
    return (values << (15 - high_bit)) >> (16 - stored_bits)


def _padding_range(instance: InstanceFile) -> tuple[int, int] | None:
    """The stored values, least and greatest, that mean that there is no image (PS3.3 C.7.5.1.1.2)."""
    first = _integer(instance, "PixelPaddingValue", None)
    if first is None:
        return None
    last = _integer(instance, "PixelPaddingRangeLimit", first)
    return min(first, last), max(first, last)


def _hides_tissue(instance: InstanceFile, padding: tuple[int, int]) -> bool:
    """Whether tissue may have a padding's values, as water has 0 where the intercept is 0."""
    slope, intercept = _rescale(instance)
    low, high = (slope * value + intercept for value in padding)
    return high > NOT_TISSUE_HU[0] and low <= NOT_TISSUE_HU[1]


def _doubt_padding(instances: Sequence[InstanceFile]) -> list[Finding]:
    """A padding among the values of tissue is not believed: it would turn the patient into air."""
    ranges = [(i, _padding_range(i)) for i in instances]
    doubted = [i for i, padding in ranges if padding is not None and _hides_tissue(i, padding)]
    if not doubted:
        return []
    message = (
        f"Pixel Padding Value of {len(doubted)} instances is a CT number that tissue may have, so it was not taken "
        f"for padding: {name_some(doubted)}."
    )
    return [Finding(code="padding-ignored", message=message)]
