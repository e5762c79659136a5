"""What a worker must know: where data lies, how to reach the broker, how long a lease lasts.

One of the two places that read the environment (the other is `service/settings.py`). Names are
`PENUMBRA_` + the field's name; a TOML file named by `PENUMBRA_CONFIG` may hold the same names.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from worker.secret_files import read_secrets

SHIPPED_BUNDLE = "phantom-small"


class WorkerSettings(BaseSettings):
    """Settings of a process that contours. Seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="PENUMBRA_", extra="ignore", validate_default=True)

    data_dir: Path = Path("penumbra-data")
    broker_url: str | None = None
    """A Redis URL as Celery writes it; None means the broker that `penumbra serve` starts itself."""

    runner: str = "worker.run_job:run_job"
    """Dotted path of the function that contours one job folder."""

    bundle: str | None = None
    """Name of the bundle a job uses when it names none; None means the one that is shipped."""

    bundles_dir: Path | None = None
    """Folder with further bundles; None means only those that are shipped."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    passes: int = Field(default=50, ge=1, le=1000)
    seed: int = Field(default=0, ge=0)

    accept_lossy: bool = False
    """Whether images that were once compressed with loss are contoured all the same, with a finding."""

    lease_s: float = Field(default=60.0, gt=0)
    """A claim is void this long after its last renewal."""

    heartbeat_s: float = Field(default=15.0, gt=0)
    """How often a claim is renewed when there is no progress to write down."""

    stall_s: float = Field(default=300.0, gt=0)
    """A job without any progress for this long is taken to hang, and its process ends itself."""

    progress_every_s: float = Field(default=0.5, gt=0)
    """Progress is written at most this often."""

    task_limit_s: int = Field(default=3600, gt=0)
    """Hard limit for one task; its process is killed then."""

    max_attempts: int = Field(default=3, ge=1)
    """So many claims end without a result before the job is given up as `worker-lost`."""

    @field_validator("data_dir")
    @classmethod
    def _make_absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def jobs_dir(self) -> Path:
        """Folder that holds one folder per job."""
        return self.data_dir / "jobs"

    @classmethod
    def settings_customise_sources(  # noqa: PLR0917 - the library's signature
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, files it names by `_FILE`, the file that PENUMBRA_CONFIG names."""
        secrets = read_secrets(os.environ, settings_cls.model_fields, "PENUMBRA_")
        sources = (init_settings, env_settings, InitSettingsSource(settings_cls, secrets))
        config_file = os.environ.get("PENUMBRA_CONFIG")
        if config_file is None:
            return sources
        return *sources, TomlConfigSettingsSource(settings_cls, Path(config_file))
