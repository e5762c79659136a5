"""What every object that leaves says of itself: not for clinical use, a draft, made by which bundle."""

from typing import Final

from worker.result import Result, StructureResult
from worker.software_version import SOFTWARE_VERSION

NOT_CLINICAL: Final = "NOT FOR CLINICAL USE"
CLINICAL: Final = "clinical"


def mark(result: Result) -> list[str]:
    """The mark, or nothing where the bundle is declared clinical."""
    return [] if result.bundle.intended_use == CLINICAL else [NOT_CLINICAL]


def marked(result: Result, text: str, *, limit: int = 64) -> str:
    """A text with the mark before it, at most `limit` characters long."""
    return " - ".join([*mark(result), text])[:limit].rstrip()


def made_by(result: Result) -> list[str]:
    """Program and bundle with their versions."""
    return [f"Penumbra {SOFTWARE_VERSION}", f"bundle {result.bundle.name} {result.bundle.version}"]


def quality_text(structure: StructureResult) -> str:
    """Quality as a number only where it was shown to tell something (not for the CTV)."""
    if not structure.quality_validated:
        return "quality not validated"
    predicted = structure.predicted_dsc
    told = f", DSC {predicted.value:.2f} ({predicted.low:.2f}-{predicted.high:.2f})" if predicted else ""
    return f"quality {structure.quality:.2f}{told}"


def bounds_text(structure: StructureResult) -> str:
    """What the bounds claim; 95 only where they are calibrated."""
    if structure.percent is None:
        return "bounds uncalibrated"
    return f"bounds {structure.percent} %, calibrated"
