"""Everything Penumbra can explain when a job does not end well.

PenumbraError
├── Rejected                 the input is not ours to contour
│   ├── NoDicom, NotCT, TooFewSlices, MixedSeries, MissingSlices, TiltedSlices, DuplicatePosition
│   ├── UnreadableInstance, MissingAttribute, UnsupportedTransferSyntax
│   ├── LossyImages
│   └── NoPelvis, ShiftedCTNumbers, NoTarget, NotCalibrated, UnsafeArchive, TooLarge
├── Failed                   the input was fine, we were not
│   └── ResultImplausible, RoundTripFailed, BundleInvalid, WorkerLost, DecoderMissing
└── Cancelled                somebody asked for it

`code` is stable for clients. The texts name the cause and what to do; they name instances by UID and never a
patient.
"""

from typing import ClassVar


class PenumbraError(Exception):
    """A reason that can be told to a clinician: what happened (`message`) and what to do (`remedy`)."""

    code: ClassVar[str] = "error"
    default_message: ClassVar[str] = "The job could not be finished."
    default_remedy: ClassVar[str] = "Ask whoever runs Penumbra to look at its log."

    def __init__(self, message: str | None = None, *, remedy: str | None = None) -> None:
        self.message = message or self.default_message
        self.remedy = remedy or self.default_remedy
        super().__init__(self.message)

    def __str__(self) -> str:
        """Message and remedy as one text of two sentences or more."""
        return f"{self.message} {self.remedy}"

    def as_reason(self) -> dict[str, str]:
        """The reason as it stands in `result.json`, in REST and in the job record."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class Rejected(PenumbraError):
    """The input is not a CT series that Penumbra may contour."""

    code = "rejected"
    default_message = "The series cannot be contoured."
    default_remedy = "Send a transverse CT series of the whole pelvis."


class Failed(PenumbraError):
    """The input was acceptable, but no result could be made or delivered."""

    code = "failed"


class Cancelled(PenumbraError):
    """The job was stopped because somebody asked for it."""

    code = "cancelled"
    default_message = "The job was cancelled."
    default_remedy = "Retry the job, or send the series again, if the contours are still wanted."


class NoDicom(Rejected):
    """There is no DICOM instance in the input."""

    code = "no-dicom"
    default_message = "No DICOM instance was found."
    default_remedy = "Give the folder or archive that holds the exported CT series."


class NotCT(Rejected):
    """An instance is an image of another kind, or a kind of CT image that cannot be contoured."""

    code = "not-ct"
    default_remedy = "Send the planning CT as CT images, one instance per slice."


class TooFewSlices(Rejected):
    """The series does not cover a pelvis."""

    code = "too-few-slices"
    default_remedy = "Send all slices of the planning CT, from the iliac crests to below the perineum."


class MixedSeries(Rejected):
    """Instances of more than one series, study or image plane were given as one."""

    code = "mixed-series"
    default_remedy = "Send one CT series at a time."


class MissingSlices(Rejected):
    """There is a gap between two slices, or the slices are not evenly spaced."""

    code = "missing-slices"
    default_remedy = "Send the whole series again; if the gap stays, export it again from the PACS."


class TiltedSlices(Rejected):
    """The slices are not transverse planes stacked at right angles: gantry tilt, oblique, sheared."""

    code = "tilted"
    default_remedy = "Send a transverse series that was acquired or reconstructed without gantry tilt."


class DuplicatePosition(Rejected):
    """Two slices lie at the same position."""

    code = "duplicate-position"
    default_remedy = "Send a series with one image per table position."


class UnreadableInstance(Rejected):
    """An instance is cut off or damaged."""

    code = "unreadable-instance"
    default_remedy = "Send this instance again."


class MissingAttribute(Rejected):
    """An attribute without which no RTSTRUCT can be written is absent or unusable."""

    code = "missing-attribute"
    default_remedy = "Export the series again with all its attributes; anonymisation may have removed them."


class UnsupportedTransferSyntax(Rejected):
    """The instance is compressed with loss, or in a way that is not read."""

    code = "transfer-syntax"
    default_remedy = "Send the series uncompressed (Explicit or Implicit VR Little Endian)."


class LossyImages(Rejected):
    """Images are readable now, but were once compressed with loss."""

    code = "lossy"
    default_remedy = "Send the original images, which were never compressed with loss."


class NoPelvis(Rejected):
    """The image does not show a pelvis."""

    code = "no-pelvis"
    default_message = "No pelvis was found in the CT."
    default_remedy = "Send a CT of the whole male pelvis, from the iliac crests to below the perineum."


class ShiftedCTNumbers(Rejected):
    """The CT numbers are not Hounsfield units: air is far from -1000."""

    code = "hu-offset"
    default_message = "The CT numbers of the series are shifted."
    default_remedy = (
        "Export the series again with its own Rescale Intercept; anonymisation may have changed it."
    )


class NoTarget(Rejected):
    """It is a pelvis, but there is no place for the CTV."""

    code = "no-target"
    default_message = "The pelvis was found, but no region where the prostate bed would lie."
    default_remedy = "Check that the CT shows a male pelvis after prostatectomy down to the penile bulb."


class NotCalibrated(Rejected):
    """Calibrated bounds are asked for, and the bundle has no record for them that holds."""

    code = "not-calibrated"
    default_remedy = "Ask for bounds `auto` or `paper`, or for more passes, or run `penumbra calibrate`."


class UnsafeArchive(Rejected):
    """The archive has members that point outside it, or other traps."""

    code = "unsafe-archive"
    default_message = "The archive is not safe to unpack."
    default_remedy = "Pack the DICOM files into a plain zip archive without links or absolute paths."


class TooLarge(Rejected):
    """The input is larger than Penumbra accepts."""

    code = "too-large"
    default_message = "The input is larger than allowed."
    default_remedy = "Send only the instances of the planning CT series."


class ResultImplausible(Failed):
    """What the networks produced cannot be a pelvis, or cannot be written."""

    code = "implausible-result"
    default_remedy = "Contour this case by hand, and report it to whoever runs Penumbra."


class RoundTripFailed(Failed):
    """The written RTSTRUCT, read back by an independent reader, differs from the result."""

    code = "round-trip"
    default_message = "The written RTSTRUCT does not show what was computed, so it was not released."
    default_remedy = "Contour this case by hand, and report it to whoever runs Penumbra."


class BundleInvalid(Failed):
    """The bundle's files are missing, changed or not understood."""

    code = "bundle-invalid"
    default_remedy = "Install the bundle again, and check it with `penumbra bundles`."


class WorkerLost(Failed):
    """The worker died on this job more than once."""

    code = "worker-lost"
    default_message = "The worker was lost while it worked on this job, more than once."
    default_remedy = "Check memory and GPU of the worker's host, then retry the job."


class DecoderMissing(Failed):
    """The process that decompresses did not come up: incomplete installation, or no memory left."""

    code = "decoder-missing"
    default_message = "The series is compressed, and the process that decompresses did not start."
    default_remedy = (
        "Check the installation and the memory of the worker's host, or send the series uncompressed."
    )
