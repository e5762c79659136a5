"""The tables behind the figures: what was counted, and which workers live."""

from typing import Any

from sqlalchemy import JSON, Float, String
from sqlalchemy.orm import Mapped, mapped_column

from service.records import Record


class TallyRecord(Record):
    """One figure that only grows, for one set of label values (`service/tallies.py`)."""

    __tablename__ = "tally"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[str] = mapped_column(String(255), primary_key=True)
    """JSON list of the label values."""
    total: Mapped[float] = mapped_column(Float)
    """Of a counter the count, of a histogram the sum of values."""
    counts: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    """Of a histogram the values per bucket, the last one without an upper limit."""


class WorkerRecord(Record):
    """A worker process as it last showed itself (`service/presence.py`)."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    host: Mapped[str] = mapped_column(String(128))
    queue: Mapped[str] = mapped_column(String(16))
    seen_at: Mapped[float] = mapped_column(Float)
    devices: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """Its host's GPUs, as `service/gpus.py` reads them."""
