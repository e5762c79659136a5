"""Settings of the traffic with archives: fallbacks, pulling, storage commitment. Seconds unless said otherwise."""

from pydantic import BaseModel, ConfigDict, Field


class PacsSettings(BaseModel):
    """One table `[pacs]` of the settings' file, or JSON in `PENUMBRA_PACS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fallback_after: int = Field(default=3, ge=1)
    """A node's fallbacks are turned to once so many attempts at the node itself have failed."""
