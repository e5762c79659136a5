"""The version of this program, as its objects state it."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _software_version() -> str:
    try:
        return version("penumbra-rt")
    except PackageNotFoundError:
        return "unknown"


SOFTWARE_VERSION: Final = _software_version()
