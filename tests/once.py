"""What is slow to make and then only read: once for a whole run of tests, by the first of its processes that asks."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def once_per_run(temporary: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder called `name` that `make` has filled; other processes that ask wait for it."""
    base = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # then it lies in that of the whole run
        base = base.parent
    folder, unfinished = base / name, base / f"{name}.part"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder
