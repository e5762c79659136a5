"""Files that are whole or not there, and what is in them as one number."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike


def write_whole(file: Path, text: str) -> None:
    """Write a text beside its place, then rename it; makes the folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    partial.write_text(text)
    partial.replace(file)


def save_arrays(file: Path, **arrays: ArrayLike) -> None:
    """The same for arrays, as a compressed `.npz`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part.npz")
    np.savez_compressed(partial, allow_pickle=False, **arrays)
    partial.replace(file)


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
