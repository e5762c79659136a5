# mypy: disable-error-code="no-untyped-call"
# SimpleITK annotates its functions only in part.
"""Masks and probabilities as NIfTI files for research tools, on the CT's own grid.

SimpleITK turns DICOM's LPS millimetres into NIfTI's RAS and back, so that a file read by it lies on the CT again.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from worker.draft_mark import marked
from worker.finding import Finding
from worker.grid import resample
from worker.object_files import nifti_name
from worker.result import Result, StructureResult


def write_nifti(result: Result, folder: Path) -> list[Finding]:
    """Write per structure the masks `mean`, `lower`, `upper` (uint8) and the `probability` (float32, 0 to 1).

    The masks are the voxels whose field reaches the level; holes stay.

    Returns:
        A finding where slices are unevenly spaced: NIfTI cannot express that, so the files lie on an even grid.
    """
    source = result.series.grid
    target = source.evened()
    for structure in result.structures:
        for kind, voxels in _fields(structure):
            if source.is_uneven:
                voxels = resample(voxels, source, target, outside=0, nearest=voxels.dtype == np.bool_)
            image = target.image(voxels)
            image.SetMetaData("ITK_FileNotes", marked(result, "Penumbra AI draft"))
            sitk.WriteImage(image, str(folder / nifti_name(structure.name, kind)), useCompression=True)
    if not source.is_uneven:
        return []
    message = (
        "The slices are unevenly spaced, which NIfTI cannot express: the NIfTI files have slices every "
        f"{target.spacing_mm[2]:.2f} mm."
    )
    return [Finding(code="nifti-resampled", message=message)]


def _fields(structure: StructureResult) -> Iterator[tuple[str, NDArray[np.generic]]]:
    for bound in ("mean", "lower", "upper"):
        yield bound, getattr(structure, bound) >= structure.level
    yield "probability", structure.mean
