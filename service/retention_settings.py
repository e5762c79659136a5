"""How long received series and results are kept. Nothing is deleted unless it is set."""

from pydantic import BaseModel, ConfigDict, Field


class RetentionSettings(BaseModel):
    """What is deleted when; whatever a job or a delivery still needs is kept in any case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    series_days: float | None = Field(default=None, gt=0)
    """Days after the last use of a received series; None keeps it for ever."""

    results_days: float | None = Field(default=None, gt=0)
    """Days after a job's end; None keeps its result for ever."""

    quarantine_days: float | None = Field(default=None, gt=0)
    """Days after an instance came that contradicted an earlier one."""

    make_room_below_bytes: int | None = Field(default=None, gt=0)
    """Below this much free space the oldest go first, earlier than their days say; None never does."""

    make_room_after_hours: float = Field(default=24.0, ge=0)
    """To make room nothing younger than this is deleted."""

    sweep_s: float = Field(default=60.0, gt=0)
    """How often is looked for what may go."""
