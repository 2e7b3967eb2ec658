"""A folder for the files of a running server, where cleaners of temporary files do not go."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonface_server.leftovers import is_in_use, remove_leftovers
from tritonface_server.machine import LaunchError

PREFIX = "server-"


@contextmanager
def run_folder() -> Iterator[Path]:
    """An empty folder until the end of the block; those that killed processes have left are removed before.

    Raises:
        LaunchError: there is no folder to write to.
    """
    base = base_folder()
    with _lock(base) as starting:
        for folder in base.glob(f"{PREFIX}*"):
            with suppress(OSError), _lock(folder, fcntl.LOCK_NB):
                if not is_in_use(folder):
                    remove_leftovers(folder)
                    shutil.rmtree(folder)
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        with _lock(own):
            fcntl.flock(starting, fcntl.LOCK_UN)
            try:
                yield own
            finally:
                shutil.rmtree(own, ignore_errors=True)


def run_folders() -> list[Path]:
    """Those of the servers of this user that run."""
    found = []
    for folder in base_folder().glob(f"{PREFIX}*"):
        try:
            with _lock(folder, fcntl.LOCK_NB):
                pass
        except BlockingIOError:
            found.append(folder)
        except OSError:  # it went just now
            continue
    return found


def base_folder() -> Path:
    """`tritonface` in the user's cache, or a folder of temporary files where the user has no cache to write to.

    The processes of the models are started from there.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        cache = Path(os.path.expanduser("~"), ".cache")  # noqa: PTH111 - Path.home() fails for users without one
    for folder in (cache / "tritonface", Path(tempfile.gettempdir(), f"tritonface-{os.getuid()}")):
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder, os.W_OK) and not os.statvfs(folder).f_flag & os.ST_NOEXEC:
                return folder
    raise LaunchError(
        f"there is no folder to write to and to start programs from, neither {cache} nor {tempfile.gettempdir()}; "
        "in a container: --tmpfs /tmp:exec"
    )


@contextmanager
def _lock(folder: Path, options: int = 0) -> Iterator[int]:
    """Hold a folder's lock, which ends with the process; BlockingIOError with LOCK_NB if somebody else holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | options)
        yield descriptor
    finally:
        os.close(descriptor)
