"""UIDs that follow from a text, so that the same work yields the same instance."""

import uuid

from pydicom.uid import UID

IMPLEMENTATION_CLASS_UID = UID("2.25.302861973264183740918273509127468301547")
"""Names our writer in the file meta group (PS3.10 7.1)."""

_NAMESPACE = uuid.UUID("b6b7b2f2-6f3c-5d43-9d2e-5b1f0f0f5a10")


def uid_from(*seeds: str) -> UID:
    """A UID below 2.25 (PS3.5 B.2), the same for the same seeds."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, chr(31).join(seeds)).int}")
