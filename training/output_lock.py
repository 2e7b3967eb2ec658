"""One training at a time in an output folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class OutputInUseError(RuntimeError):
    """Another training writes into the same folder."""


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; the lock ends with the process, however it ends.

    Raises:
        OutputInUseError: another process has it.
    """
    handle = os.open(output, os.O_RDONLY)
    try:
        _lock(handle, output)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, output: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputInUseError(
            f"another training writes into {output}; wait until it has ended, or set another Global.output"
        ) from None
    except OSError:  # NFS locks no folders
        return
