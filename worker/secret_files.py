"""Settings out of files: `PENUMBRA_API_TOKEN_FILE=/run/secrets/token` gives `api_token`."""

from collections.abc import Mapping
from pathlib import Path

from worker.errors import PenumbraError

SUFFIX = "_FILE"
MAX_BYTES = 64 * 1024


class UnreadableSecret(PenumbraError):
    """A file that the environment names cannot be read, or holds no text."""

    code = "unreadable-secret"
    default_remedy = "Check the path, and that Penumbra's user may read the file."


def read_secrets(environment: Mapping[str, str], names: Mapping[str, object], prefix: str) -> dict[str, str]:
    """The values of those settings that the environment names a file for.

    Args:
        environment: all variables.
        names: the settings' names.
        prefix: what their variables begin with.

    Raises:
        UnreadableSecret: a file is missing, too large or no text. Its name is said, its content never.
    """
    wanted = {name: environment.get(f"{prefix}{name.upper()}{SUFFIX}") for name in names}
    return {name: _read(Path(path)) for name, path in wanted.items() if path}


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        text = data.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableSecret(f"{path} cannot be read: {type(error).__name__}.") from None
    if not text or len(data) > MAX_BYTES:
        raise UnreadableSecret(f"{path} is empty or too large to be a setting.")
    return text
