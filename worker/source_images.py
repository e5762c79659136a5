"""The CT's slices as highdicom wants its source images: where they lie and what they are called, nothing else."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from worker.patient_study import REQUIRED
from worker.series import CTSeries


def source_images(series: CTSeries) -> list[Dataset]:
    """One data set per slice, in the series' order, each at its own position."""
    axes = np.asarray(series.grid.direction).reshape(3, 3)
    orientation = _decimals([*axes[:, 0], *axes[:, 1]])
    x_mm, y_mm, z_mm = series.grid.spacing_mm
    images = []
    for number, (header, uid) in enumerate(zip(series.headers, series.sop_instance_uids, strict=True)):
        image = Dataset()
        for (
            keyword
        ) in REQUIRED:  # highdicom would decode and encode them; `stamp` copies them undecoded afterwards
            setattr(image, keyword, "")
        image.SOPClassUID = str(header.SOPClassUID)
        image.SOPInstanceUID = uid
        image.StudyInstanceUID = series.study_instance_uid
        image.SeriesInstanceUID = series.series_instance_uid
        image.FrameOfReferenceUID = series.frame_of_reference_uid
        image.Modality = "CT"
        image.Rows, image.Columns = series.grid.shape_zyx[1:]
        image.PixelSpacing = _decimals([y_mm, x_mm])
        image.SliceThickness = _decimals([z_mm])[0]
        image.ImageOrientationPatient = orientation
        image.ImagePositionPatient = _decimals(series.slice_positions_mm[number].tolist())
        images.append(image)
    return images


def _decimals(numbers: list[float]) -> list[DSfloat]:
    """Decimal strings of at most 16 characters (PS3.5 6.2, VR DS)."""
    return [DSfloat(float(number), auto_format=True) for number in numbers]
