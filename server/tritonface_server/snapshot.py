"""A copy of an exported folder as it is at one moment, even while a training replaces it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonface_server.export_folder import ACCURACY, NETWORK, QUANTISED, SETTINGS, ExportFolderError
from tritonface_server.inference_yml import EXPORT_ANEW

ATTEMPTS, PAUSE_S = 20, 0.02


def copy_folder(folder: Path, target: Path) -> None:
    """Copy the files that are served into an existing folder.

    Raises:
        ExportFolderError: a file is missing or unreadable, or they change all the time.
    """
    missing = [NETWORK]
    for _ in range(ATTEMPTS):
        try:
            with _opened(folder) as opened:
                before = _state(opened)
                for name in before:
                    (target / name).write_bytes(_read(name, opened))
                missing = [name for name in (NETWORK, SETTINGS) if name not in before]
                if not missing and _state(opened) == before:
                    return
        except (FileNotFoundError, NotADirectoryError):
            pass  # replaced in this moment, or absent altogether
        except OSError as error:
            raise ExportFolderError(f"{folder} cannot be read: {error}") from error
        time.sleep(PAUSE_S)
    raise ExportFolderError(f"{folder} has no {missing[0]}; {EXPORT_ANEW}" if missing else f"{folder} keeps changing")


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """This very folder, even when it is renamed and another one takes its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(name: str, folder: int) -> bytes:
    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=folder), "rb") as file:
        return file.read()


def _state(folder: int) -> dict[str, tuple[int, ...]]:
    """What tells the files of an exported folder from what replaces them."""
    state: dict[str, tuple[int, ...]] = {}
    for name in (NETWORK, SETTINGS, ACCURACY, *QUANTISED):
        with suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=folder)
            state[name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return state
