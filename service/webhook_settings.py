"""Where changes of jobs are announced by HTTP."""

import base64
import binascii
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from service.job_state import JobState

SECRET_PREFIX: Final = "whsec_"
LEAST_SECRET_BYTES: Final = 24


class WebhookSettings(BaseModel):
    """One receiver. Its secret is in a file, so that no environment, log or list of processes shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    """A name of its own; the place that announcements have reached is kept under it."""

    url: str = Field(pattern=r"^https?://[^\s@]+$", max_length=2000)
    """An address without a user or password in it."""

    secret_file: Path
    """Holds `whsec_` and at least 24 bytes in base64; `penumbra webhooks secret FILE` makes one."""

    states: tuple[JobState, ...] | None = None
    """The states whose beginning is announced; None means all."""

    timeout_s: float = Field(default=10.0, gt=0, le=120)

    def secret(self) -> bytes:
        """The secret's bytes.

        Raises:
            OSError: the file cannot be read.
            ValueError: what it holds is no secret.
        """
        text = self.secret_file.expanduser().read_text().strip().removeprefix(SECRET_PREFIX)
        try:
            secret = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError("the secret is not base64") from error
        if len(secret) < LEAST_SECRET_BYTES:
            raise ValueError("the secret is too short")
        return secret
