"""Any RTSTRUCT held against its CT: what would a planning system dislike about it?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.unchecked_values import DAMAGED
from worker.verify_codes import SEVERITIES, Objection, shown_uid
from worker.verify_contours import contour_objections
from worker.verify_encoding import encoding_objections
from worker.verify_identity import identity_objections
from worker.verify_rois import roi_objections
from worker.verify_subject import Subject, read_subject
from worker.verify_volumes import RoiSummary, summaries, volume_objections

_PARTS: Final[dict[str, Callable[[Subject], Iterator[Objection]]]] = {
    "encoding": encoding_objections,
    "identity": identity_objections,
    "ROIs": roi_objections,
    "contours": contour_objections,
    "volumes": volume_objections,
}


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found.

    Attributes:
        sop_instance_uid: the RTSTRUCT.
        series_instance_uid: the images that it was held against.
        images: how many they are.
        rois: its ROIs with their volumes.
        objections: errors first, then warnings, then notes.
    """

    sop_instance_uid: str
    series_instance_uid: str
    images: int
    rois: tuple[RoiSummary, ...]
    objections: tuple[Objection, ...]

    @property
    def clean(self) -> bool:
        """Whether there is nothing but notes."""
        return all(objection.severity == "note" for objection in self.objections)

    def count(self, severity: str) -> int:
        """How many objections are that grave."""
        return sum(objection.severity == severity for objection in self.objections)

    def as_json(self) -> dict[str, Any]:
        """As `penumbra verify --json` prints it."""
        return {
            "rtstruct": self.sop_instance_uid,
            "series": self.series_instance_uid,
            "images": self.images,
            **{f"{severity}s": self.count(severity) for severity in SEVERITIES},
            "objections": [
                {
                    "code": o.code,
                    "severity": o.severity,
                    "roi": None if o.roi is None else {"number": o.roi[0], "name": o.roi[1]},
                    "count": o.count,
                    "message": o.message,
                    "remedy": o.remedy,
                }
                for o in self.objections
            ],
            "rois": [
                {
                    "number": roi.number,
                    "name": roi.name,
                    "type": roi.kind,
                    "contours": roi.contours,
                    "slices": roi.slices,
                    "volume_cc": None if roi.volume_cc is None else round(roi.volume_cc, 3),
                    "stated_volume_cc": roi.stated_cc,
                }
                for roi in self.rois
            ],
        }


def verify(rtstruct: Path, images: Path) -> Verification:
    """Hold an RTSTRUCT, ours or a vendor's, against the CT that it was drawn on.

    Raises:
        NotStructureSet: the file is no RTSTRUCT, or damaged beyond reading.
        NoDicom: the folder holds no image with a position.
        NotCT: it holds images of several frames only.
    """
    subject = read_subject(rtstruct, images)
    found = [objection for part in _PARTS for objection in _of_part(part, subject)]
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    return Verification(
        sop_instance_uid=shown_uid(subject.structure_set.sop_instance_uid),
        series_instance_uid=shown_uid(subject.stack.planes[0].uids["SeriesInstanceUID"]),
        images=len(subject.stack.planes),
        rois=tuple(summaries(subject)),
        objections=tuple(sorted(found, key=lambda objection: order[objection.severity])),
    )


def _of_part(part: str, subject: Subject) -> Iterator[Objection]:
    """The objections of one part; one that stumbles over a damaged value says so, and the others go on."""
    try:
        yield from _PARTS[part](subject)
    except DAMAGED:
        yield Objection(code="damaged-part", message=f"Its {part} could not be looked at to the end.")
