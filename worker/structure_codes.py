"""What our structures and figures are called in coded terminologies (PS3.16)."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

PRIVATE_SCHEME: Final = "99PENUMBRA"
ANATOMICAL: Final = Code("91723000", "SCT", "Anatomical Structure")
SPATIAL: Final = Code("309825002", "SCT", "Spatial and Relational Concept")
LEFT: Final = Code("7771000", "SCT", "Left")
RIGHT: Final = Code("24028007", "SCT", "Right")
BAND: Final = Code("BAND", PRIVATE_SCHEME, "Between lower and upper bound")
LOWER_VOLUME: Final = Code("LOVOL", PRIVATE_SCHEME, "Volume within lower bound")
UPPER_VOLUME: Final = Code("HIVOL", PRIVATE_SCHEME, "Volume within upper bound")
BAND_MEAN: Final = Code("BANDMEAN", PRIVATE_SCHEME, "Mean width of band")
BAND_P95: Final = Code("BANDP95", PRIVATE_SCHEME, "95th percentile of width of band")
QUALITY: Final = Code("QUALITY", PRIVATE_SCHEME, "Mean DSC of passes with mean contour")
VALIDATED: Final = Code("QVALID", PRIVATE_SCHEME, "Whether quality tells true DSC")
BOUNDS: Final = Code("BOUNDS", PRIVATE_SCHEME, "How bounds were made")
CALIBRATED: Final = Code("CALIB", PRIVATE_SCHEME, "Calibrated")
UNCALIBRATED: Final = Code("UNCALIB", PRIVATE_SCHEME, "Uncalibrated")
YES: Final = Code("373066001", "SCT", "Yes")
NO: Final = Code("373067005", "SCT", "No")


class StructureCode(NamedTuple):
    """Category, type and, of paired organs, the side."""

    category: Code
    type: Code
    side: Code | None = None


_FEMORAL_HEAD: Final = Code("2812003", "SCT", "Head of Femur")
STRUCTURE_CODES: Final = {
    "CTV": StructureCode(SPATIAL, Code("228792002", "SCT", "Clinical target volume")),
    "Bladder": StructureCode(ANATOMICAL, Code("89837001", "SCT", "Bladder")),
    "Rectum": StructureCode(ANATOMICAL, Code("34402009", "SCT", "Rectum")),
    "Femur_Head_L": StructureCode(ANATOMICAL, _FEMORAL_HEAD, LEFT),
    "Femur_Head_R": StructureCode(ANATOMICAL, _FEMORAL_HEAD, RIGHT),
    "PenileBulb": StructureCode(ANATOMICAL, Code("52737000", "SCT", "Structure of bulb of penis")),
}


def scheme_identification() -> list[Dataset]:
    """Coding Scheme Identification Sequence for our private codes (PS3.3 C.12.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = "Penumbra"
    item.CodingSchemeResponsibleOrganization = "Penumbra"
    return [item]


def code_sequence(code: Code) -> Sequence[Dataset]:
    """A code as the one item of a sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    return [item]
