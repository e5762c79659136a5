"""What an instance that was not kept is answered with, whichever way it came (Storage Service Class, PS3.4 B.2.3)."""

from typing import Final

from service.inbox import ClassMismatch, InboxUnavailable
from worker.errors import PenumbraError

STORED: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700
CLASS_MISMATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
UNEXPECTED: Final = 0xC001


def status_of(error: PenumbraError) -> int:
    """The status that says why the inbox did not take an instance."""
    if isinstance(error, InboxUnavailable):
        return OUT_OF_RESOURCES
    return CLASS_MISMATCH if isinstance(error, ClassMismatch) else CANNOT_UNDERSTAND
