"""Keep the allocator from giving memory back between passes."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
GIBIBYTE = 2**30


def keep_large_blocks() -> None:
    """Tell glibc to serve big arrays from the heap.

    By default each activation above 32 MB is mapped and unmapped anew, and its pages are cleared every time: a
    third of a pass on a CPU. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, GIBIBYTE)
        libc.mallopt(M_TRIM_THRESHOLD, GIBIBYTE)
