"""That a reviewer has looked at a place, as the report shows it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class LookNote:
    """Who has looked at the place of that key (`ReviewPlace.key`), and when (UTC)."""

    place: str
    reviewer: str
    at: datetime
