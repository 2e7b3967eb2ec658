"""A file of shared memory that several processes use, with locks that end with the process that holds them."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_PATIENCE_S = 0.05
"""Who writes holds the lock for microseconds. Whoever is stopped while holding it must not stop the others."""
MUTEX, FIRST = 0, 1
"""Bytes of the file that stand for what is locked: by who writes, and by who holds one of several things."""


class SharedFile:
    """Memory that those share who give the same path, and locks; not for several threads.

    Args:
        prefix: how the names of such files in its folder begin. A file is removed when the last user closes it, or,
            where they were killed, when the next one with this prefix is opened.
        size_bytes: the same for all; zeros at first.
    """

    def __init__(self, path: Path, prefix: str, size_bytes: int) -> None:
        for other in path.parent.glob(f"{prefix}*"):
            with suppress(OSError):  # somebody else's, or gone by now
                descriptor = os.open(other, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                _remove_unless_used(descriptor, other)
                os.close(descriptor)
        self.path = path
        self._descriptor = _open_shared(path)
        self._own: set[int] = set()
        os.ftruncate(self._descriptor, size_bytes)
        self.memory = mmap.mmap(self._descriptor, size_bytes)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alone with the memory."""
        deadline_s = time.monotonic() + LOCK_PATIENCE_S
        while not self._try_lock(MUTEX):
            if time.monotonic() > deadline_s:
                break  # two may now write at once: room for one request too many, or a ticket that expires
            time.sleep(0.0001)
        try:
            yield
        finally:
            self._set_lock(fcntl.F_UNLCK, MUTEX)

    def hold(self, i: int) -> bool:
        """Whether nobody holds number `i`; this one holds it from now on, until its process ends."""
        if i in self._own or not self._try_lock(FIRST + i):
            return False
        self._own.add(i)
        return True

    def release(self, i: int) -> None:
        """Hold number `i` no longer."""
        if i in self._own:
            self._own.remove(i)
            self._set_lock(fcntl.F_UNLCK, FIRST + i)

    def is_held(self, i: int) -> bool:
        """Whether a living process holds number `i`."""
        if not self.hold(i):
            return True
        self.release(i)
        return False

    def close(self) -> None:
        """Leave it; the last one removes it."""
        for i in list(self._own):  # the memory keeps a descriptor of its own
            self.release(i)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        _remove_unless_used(self._descriptor, self.path)
        os.close(self._descriptor)

    def _try_lock(self, byte: int) -> bool:
        try:
            self._set_lock(fcntl.F_WRLCK, byte)
        except OSError:
            return False
        return True

    def _set_lock(self, kind: int, byte: int) -> None:
        """Of one byte, by this object and not by its process (Linux): another one in it may open and close the file."""
        lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)  # as fcntl(2) has it
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, lock)


def _open_shared(path: Path) -> int:
    """A descriptor of the file, created if need be, with a lock that tells that somebody uses it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # removed by the last user in this moment


def _remove_unless_used(descriptor: int, path: Path) -> None:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # otherwise the path is another one's by now
            path.unlink()
