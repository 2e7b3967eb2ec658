"""Memory of a process that goes through many pictures."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the two settings, in its malloc.h."""
KEPT_BYTES = 128 * 2**20
KEPT_PIECE_BYTES = 32 * 2**20
"""More is not taken for a single piece by all versions."""


def keep_freed_memory() -> None:
    """Tell glibc to keep up to 128 MiB that are free; without effect where the C library is another one.

    It would return the memory of every picture to the system and fault it in anew for the next one. A setting of the
    whole process, so that commands make it, and the library does not.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_THRESHOLD, KEPT_PIECE_BYTES)
    mallopt(TRIM_THRESHOLD, KEPT_BYTES)
