"""What `penumbra verify` can object to: stable codes, how grave each is, and what to do.

An error keeps a system from loading the structure set, or makes it show another volume than was drawn. A warning makes
some system complain, rename or drop something. A note is worth knowing.
"""

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")

_EXPORT: Final = "Export the structure set again from the system that made it."
_SAME_CT: Final = "Give the CT that it was drawn on, or export both again from one plan."
_DRAW: Final = "Draw these contours again, or convert the structure to the CT's resolution, and export."
_KEYHOLE: Final = "Export holes as keyholes: one CLOSED_PLANAR contour with a channel to the hole."
_NUMBERS: Final = "Ask the maker of the writing program to number ROIs the same in all three sequences."


@dataclass(frozen=True)
class Check:
    """How grave an objection is, and what cures it."""

    severity: Severity
    remedy: str


def _error(remedy: str) -> Check:
    return Check("error", remedy)


def _warning(remedy: str) -> Check:
    return Check("warning", remedy)


def _note(remedy: str) -> Check:
    return Check("note", remedy)


CHECKS: Final[dict[str, Check]] = {
    # how it is encoded
    "damaged-part": _error(_EXPORT),
    "wrong-sop-class": _error("Write it as RT Structure Set Storage (1.2.840.10008.5.1.4.1.1.481.3)."),
    "wrong-modality": _error("Write Modality as RTSTRUCT (PS3.3 C.8.8.1); systems choose how to read by it."),
    "no-file-meta": _warning("Export it as a DICOM file with its meta information (PS3.10)."),
    "meta-differs": _warning("Write the same SOP class and instance in the file meta information."),
    "explicit-vr": _note("Implicit VR Little Endian is what every planning system reads."),
    "big-endian": _warning("Export it in Implicit VR Little Endian."),
    "missing-type-1": _error(_EXPORT),
    "missing-type-2": _warning("Write these attributes, empty if unknown (Eclipse's import names them)."),
    "bad-value": _warning(
        "Ask the maker of the writing program to keep to the value representations of PS3.5."
    ),
    "label-length": _error("Shorten the structure set's label to 16 characters."),
    "ds-length": _error("Round coordinates to 0.001 mm when exporting."),
    "contour-data-length": _error("Simplify the contour: fewer than 2,000 points are enough."),
    # whose it is
    "other-patient": _error(_SAME_CT),
    "patient-differs": _warning("Make name, birth date, sex and character set the same as the CT's."),
    "other-study": _error(_SAME_CT),
    "other-series": _error(_SAME_CT),
    "other-frame": _error(_SAME_CT),
    "series-of-images": _error("Give the structure set a Series Instance UID of its own."),
    "no-frame": _error("Write the CT's Frame of Reference UID in all its places."),
    "no-top-frame": _warning("Write Frame of Reference UID in the structure set itself as well."),
    "several-frames": _warning("Export the structures of each frame of reference as a set of their own."),
    "no-image-list": _error(
        "List the CT's images in RT Referenced Series Sequence; OHIF refuses it otherwise."
    ),
    "listed-image-missing": _warning(_SAME_CT),
    "image-not-listed": _note("List every image of the series once."),
    "image-listed-twice": _warning("List every image of the series once."),
    "image-class-differs": _warning("Refer to the images with the SOP class they have."),
    "several-series": _note("Give a folder with one series if the wrong one was taken."),
    "images-left-out": _note(
        "Scout views, images in other planes, without a position or in several frames carry no contours."
    ),
    # its ROIs
    "no-roi": _error(_EXPORT),
    "number-missing": _error(_NUMBERS),
    "number-twice": _error(_NUMBERS),
    "number-unknown": _error(_NUMBERS),
    "no-observation": _warning("Write an RT ROI Observation for each ROI."),
    "name-missing": _error("Name the ROI."),
    "name-twice": _error("Rename one of them: systems tell names apart ignoring case, or do not at all."),
    "name-length": _warning("Shorten the name to 16 characters (TG-263)."),
    "name-characters": _warning("Use printable ASCII characters without backslash."),
    "type-missing": _note("Give the ROI an interpreted type, such as CTV or ORGAN."),
    "type-unknown": _note("Use a defined term of PS3.3 C.8.8.8 as interpreted type."),
    "colour": _warning("Write ROI Display Color as three whole numbers from 0 to 255."),
    "empty-roi": _note("Leave ROIs without contours out of the export if they are not wanted."),
    "empty-sequence": _warning("Leave Contour Sequence out of an ROI that has no contours."),
    "rejected": _warning("Do not treat by it: its approval status is REJECTED."),
    "approval": _warning("Write UNAPPROVED, or APPROVED with reviewer, date and time (PS3.3 C.8.8.16)."),
    "no-series-description": _note("Name the series; OHIF lists structure sets by this text."),
    "no-series-date": _warning("Write Series Date and Series Time; OHIF may not list the set without them."),
    "code-version": _warning(
        "Write Context Group Version (0008,0106) with the code; Eclipse drops the code otherwise."
    ),
    # its contours
    "kind-unknown": _error("Use a Contour Geometric Type of PS3.3 C.8.8.6."),
    "xor": _error(_KEYHOLE),
    "not-closed": _note("Points and open lines enclose nothing; OHIF and Orthanc drop most of them."),
    "no-points": _error(_EXPORT),
    "not-numbers": _error(_EXPORT),
    "not-finite": _error(_EXPORT),
    "not-triples": _error(_EXPORT),
    "point-count": _error(
        "Write the number of points that there are; 3D Slicer skips the contour otherwise."
    ),
    "few-points": _error("Remove contours of fewer than three points."),
    "no-area": _warning("Remove contours that are a line."),
    "first-repeated": _warning("Do not repeat the first point at the end (PS3.3 C.8.8.6)."),
    "many-points": _warning("Simplify contours to 1,000 points at most; 0.05 mm is hardly a loss."),
    "tiny": _note("Remove specks; some systems drop contours smaller than a few pixels."),
    "crosses-itself": _warning("Draw the contour without loops."),
    "not-planar": _error(_DRAW),
    "not-parallel": _error(_DRAW),
    "off-slice": _warning(_DRAW),
    "off-images": _error(_SAME_CT),
    "outside-image": _warning("Cut the structure at the edge of the image."),
    "duplicate": _warning("Remove contours that are there twice."),
    "nested": _error(_KEYHOLE),
    "overlapping": _warning("Unite the contours of one ROI that overlap on a slice."),
    "loose-keyhole": _warning(
        "Lead a keyhole's channel back over the same points; 3D Slicer allows 0.001 mm."
    ),
    "slice-gap": _warning("Fill the slices in between; systems bridge such gaps differently, or not."),
    "no-image-reference": _warning(
        "Let each contour name its image (Contour Image Sequence); Eclipse needs it."
    ),
    "reference-unknown": _error(_SAME_CT),
    "reference-wrong": _error("Let each contour name the image that it lies on."),
    "several-references": _note("Name one image per contour; 3D Slicer looks at the first alone."),
    "volume-differs": _note("The stated ROI Volume may count other slices, or stem from an older version."),
}


def shown_uid(text: str) -> str:
    """A UID as it may be printed; other text in its place may be anything, a name included."""
    return text if text and len(text) <= 64 and all(c in "0123456789." for c in text) else "(no UID)"


@dataclass(frozen=True, kw_only=True)
class Objection:
    """One thing that a planning system would dislike.

    Attributes:
        code: a key of `CHECKS`.
        message: what is wrong; names instances by UID and never a patient.
        roi: number and name of the ROI concerned, if it is one.
        count: how many contours, attributes or images are concerned.
    """

    code: str
    message: str
    roi: tuple[int | None, str] | None = None
    count: int = 1

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return CHECKS[self.code].severity

    @property
    def remedy(self) -> str:
        """What to do."""
        return CHECKS[self.code].remedy
