"""Settings of the traffic with archives: fallbacks, pulling, storage commitment. Seconds unless said otherwise."""

from pydantic import BaseModel, ConfigDict, Field


class PacsSettings(BaseModel):
    """One table `[pacs]` of the settings' file, or JSON in `PENUMBRA_PACS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fallback_after: int = Field(default=3, ge=1)
    """A node's fallbacks are turned to once so many attempts at the node itself have failed."""

    commitment_timeout_s: float = Field(default=24 * 3600.0, gt=0)
    """A node that has not answered for so long leaves its storage `unconfirmed`."""

    commitment_retry_s: float = Field(default=60.0, gt=0)
    """A node that could not be asked is asked again after so long."""

    commitment_linger_s: float = Field(default=1.0, ge=0)
    """So long an answer is waited for over the association that asks."""

    pull_attempts: int = Field(default=3, ge=1)
    pull_retry_s: float = Field(default=30.0, ge=0)
    """A pull that failed, or brought less than was announced, is tried again after so long."""

    pull_settle_s: float = Field(default=15.0, ge=0)
    """So long the last instances are waited for once the archive says that it has sent them."""

    pull_lease_s: float = Field(default=300.0, gt=0)
    """A pull without a sign of life for so long is taken up again."""
