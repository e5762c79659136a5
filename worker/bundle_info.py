"""Which bundle: found by name, loaded once per process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

import models
from models.bundle import MANIFEST, Bundle, BundleError, load_bundle
from worker.errors import BundleInvalid
from worker.heap import keep_large_blocks
from worker.settings import SHIPPED_BUNDLE

SHIPPED_DIR = Path(models.__file__).parent / "bundles"


def find_bundles(bundles_dir: Path | None = None) -> dict[str, Path]:
    """Folders of all installed bundles by name; a clinic's own folder wins over what is shipped."""
    found: dict[str, Path] = {}
    for folder in (SHIPPED_DIR, bundles_dir):
        if folder is not None and folder.is_dir():
            found |= {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))}
    return found


def bundle_folder(name: str | None, bundles_dir: Path | None = None) -> Path:
    """Where a bundle lies (None: the shipped one); raises `BundleInvalid`."""
    wanted = name or SHIPPED_BUNDLE
    folder = find_bundles(bundles_dir).get(wanted)
    if folder is None:
        raise BundleInvalid(f"There is no bundle called {wanted[:64]!r}.", remedy="See `penumbra bundles`.")
    return folder


def open_bundle(name: str | None, *, bundles_dir: Path | None = None, device: str = "auto") -> Bundle:
    """Load a bundle by name (None: the shipped one); raises `BundleInvalid`."""
    folder = bundle_folder(name, bundles_dir)
    stamp = (folder / MANIFEST).stat().st_mtime_ns
    try:
        return _load(folder, choose_device(device).type, stamp)
    except BundleError as error:
        raise BundleInvalid(f"The bundle cannot be used: {error}.") from error


def choose_device(wanted: str) -> torch.device:
    """`auto` is the GPU where there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise BundleInvalid("No CUDA device is available.", remedy="Use --device cpu or auto.")
    return torch.device(wanted)


@lru_cache(maxsize=2)
def _load(folder: Path, device: str, stamp: int) -> Bundle:
    """`stamp`, the manifest's time, makes an edited bundle a new one."""
    keep_large_blocks()
    return load_bundle(folder, device=torch.device(device))
