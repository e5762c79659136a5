"""The only place that touches rt-utils: its skeleton of an RTSTRUCT and its items.

rt-utils imports OpenCV for contouring, which we do ourselves; OpenCV needs libGL, which bare servers lack.
An empty module stands in for it during the import.
"""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from pydicom.config import logger as pydicom_logger
from pydicom.dataset import Dataset

_cv2 = sys.modules.get("cv2")
sys.modules["cv2"] = ModuleType("cv2")
try:
    from rt_utils import ds_helper
    from rt_utils.utils import ROIData
finally:
    if _cv2 is None:
        del sys.modules["cv2"]
    else:
        sys.modules["cv2"] = _cv2


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image instance that contours refer to."""

    sop_class_uid: str
    sop_instance_uid: str

    def item(self) -> Dataset:
        """As a data set with just the two UIDs."""
        item = Dataset()
        item.SOPClassUID = self.sop_class_uid
        item.SOPInstanceUID = self.sop_instance_uid
        return item


def skeleton(
    references: Sequence[Reference], *, study_uid: str, series_uid: str, frame_of_reference_uid: str
) -> Dataset:
    """An RTSTRUCT that refers to every instance of a series and has no ROI yet.

    It is made from stand-ins for the instances: rt-utils decodes and re-encodes what it copies, which
    destroys names in other character sets, so identity has to be filled in afterwards.
    """
    items = [reference.item() for reference in references]
    for keyword in ("StudyDate", "StudyTime", "StudyID"):
        setattr(items[0], keyword, "")
    items[0].StudyInstanceUID = study_uid
    items[0].SeriesInstanceUID = series_uid
    items[0].FrameOfReferenceUID = frame_of_reference_uid
    # It sets attributes that pydicom has deprecated, which would put two lines into every job's log.
    level = pydicom_logger.level
    pydicom_logger.setLevel("ERROR")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset: Dataset = ds_helper.create_rtstruct_dataset(items)
    finally:
        pydicom_logger.setLevel(level)
    return dataset


def contour_item(reference: Reference) -> Dataset:
    """An item of Contour Sequence (CLOSED_PLANAR) on one instance, without points."""
    item: Dataset = ds_helper.create_contour(reference.item(), [])
    return item


def roi_items(
    number: int, name: str, description: str, frame_of_reference_uid: str
) -> tuple[Dataset, Dataset]:
    """An ROI's items of Structure Set ROI Sequence and RT ROI Observations Sequence."""
    data = ROIData(None, [0, 0, 0], number, name, frame_of_reference_uid, description)
    observation = ds_helper.create_rtroi_observation(data)
    del observation.private_creators, observation.ROIObservationDescription
    return ds_helper.create_structure_set_roi(data), observation
