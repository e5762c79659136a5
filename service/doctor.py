"""Is everything in place? What `penumbra doctor` looks at."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from service.broker import server_binary
from service.settings import ServiceSettings
from service.sqlite_driver import journal_mode, newest_sqlite
from worker.bundle_info import choose_device, find_bundles, open_bundle
from worker.errors import PenumbraError

OUR_PACKAGES = ("service", "worker", "models")
DISTRIBUTION = "penumbra-rt"


@dataclass(frozen=True)
class Checked:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


def examine() -> list[Checked]:
    """Look at everything; nothing is changed."""
    return list(_examine(ServiceSettings()))


def _examine(settings: ServiceSettings) -> Iterator[Checked]:
    yield Checked("Python", sys.version_info >= (3, 11), sys.version.split()[0])
    yield _packages()
    sqlite = newest_sqlite()
    yield _good("SQLite", f"{sqlite.sqlite_version}, journal {journal_mode(sqlite)}")
    yield _broker(settings)
    yield from _bundles(settings)
    yield _good("device", choose_device("auto").type)
    free = shutil.disk_usage(
        next(p for p in (settings.data_dir, *settings.data_dir.parents) if p.exists())
    ).free
    yield Checked(
        "free space", free > settings.min_free_bytes, f"{free / 2**30:.1f} GiB at {settings.data_dir}"
    )
    yield _good("REST", f"http://{settings.api_host}:{settings.api_port}, token {_set(settings.api_token)}")
    yield _good("DICOM", f"{settings.ae_title}@{settings.dicom_host}:{settings.dicom_port}")
    for node in settings.nodes:
        yield _good("node", f"{node.ae_title}@{node.host}:{node.port}")


def _packages() -> Checked:
    """Our plain package names must be ours alone."""
    owners = importlib.metadata.packages_distributions()
    strangers = {o for name in OUR_PACKAGES for o in owners.get(name, []) if o != DISTRIBUTION}
    return Checked(
        "packages", not strangers, ", ".join(sorted(strangers)) or "service, worker, models are ours"
    )


def _broker(settings: ServiceSettings) -> Checked:
    if settings.broker_url is not None:
        return _good("broker", "external")
    try:
        return _good("broker", f"embedded, {server_binary().name}")
    except (PenumbraError, ImportError, OSError) as error:
        return _bad("broker", type(error).__name__)


def _bundles(settings: ServiceSettings) -> Iterator[Checked]:
    for name in find_bundles(settings.bundles_dir):
        try:
            bundle = open_bundle(name, bundles_dir=settings.bundles_dir, device="cpu")
            yield _good(f"bundle {name}", f"{bundle.manifest.version}, {bundle.manifest.intended_use}")
        except PenumbraError as error:
            yield _bad(f"bundle {name}", error.message)


def _set(value: object) -> str:
    return "not set" if value is None else "set"


def _good(what: str, detail: str) -> Checked:
    return Checked(what, ok=True, detail=detail)


def _bad(what: str, detail: str) -> Checked:
    return Checked(what, ok=False, detail=detail)
