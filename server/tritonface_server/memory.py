"""What a process has freed goes back to the system, where it was so much that keeping it would not be worth it."""

from __future__ import annotations

import ctypes

LARGE_BYTES = 16 * 2**20
"""Pictures of one request from which on that pays."""


def release_freed_memory() -> None:
    """Give back to the system what this process has freed, as glibc keeps it by the server's settings."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
