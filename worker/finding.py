"""What was noticed about a series and does not stop the job."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A lesser doubt, shown beside the result.

    Attributes:
        code: stable for clients, lower case with hyphens, e.g. `hu-offset`.
        message: one or two sentences for a clinician; UIDs may be named, patients never.
    """

    code: str
    message: str
