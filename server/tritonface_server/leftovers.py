"""What servers that were killed have left behind, and only ours: processes, segments of shared memory, folders."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tritonface_server.admission import SHARED_MEMORY
from tritonface_server.sent_models import TEMPORARY, remove_sent_models
from tritonface_server.stubs import EXECUTABLE

TEMPORARY_PATTERN = "python_env_*"
"""Triton's Python backend makes such a folder for each server."""
RECORD = "temporary-folders"
"""File in a server's run folder: which of those are its own."""
KILL_TIMEOUT_S, KILL_INTERVAL_S = 5.0, 0.01


def shared_memory_prefix(run_folder: Path) -> str:
    """How the names of a server's segments begin, so that they can be told from those of others."""
    return f"tritonface-{run_folder.name}-"


def temporary_folders() -> set[Path]:
    """The Python backend's folders of all servers of this user."""
    return {path for path in TEMPORARY.glob(TEMPORARY_PATTERN) if _is_own(path)}


def note_temporary_folders(run_folder: Path, before: set[Path]) -> None:
    """Record, once, which have come since `before`: they are this server's, or that of one started meanwhile."""
    record = run_folder / RECORD
    if not record.exists():
        with suppress(OSError):  # a full disk
            record.write_text("\n".join(sorted(map(str, temporary_folders() - before))))


def is_in_use(run_folder: Path) -> bool:
    """Whether a tritonserver that outlives its launcher still drains, with the stubs of this folder as children."""
    return any(parent is not None and "tritonserver" in parent.name() for _, parent in _stubs(run_folder))


def remove_leftovers(run_folder: Path) -> None:
    """Remove what a server leaves that was killed: stubs that hang, segments, folders of temporary files."""
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while (stubs := _stubs(run_folder)) and time.monotonic() < deadline:
        for stub, _ in stubs:
            with suppress(psutil.NoSuchProcess):
                stub.send_signal(signal.SIGKILL)
        time.sleep(KILL_INTERVAL_S)
    for segment in SHARED_MEMORY.glob(f"{shared_memory_prefix(run_folder)}*"):
        with suppress(OSError):
            segment.unlink()
    remove_sent_models(run_folder)
    with suppress(OSError):
        for line in (run_folder / RECORD).read_text().splitlines():
            with suppress(OSError):  # not empty: somebody else's after all
                Path(line).rmdir()


def _stubs(run_folder: Path) -> list[tuple[psutil.Process, psutil.Process | None]]:
    """The living processes that were started from this folder's Python backend, each with its parent."""
    executable = str(run_folder / "python" / EXECUTABLE)
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.cmdline()[:1] == [executable]:
                found.append((process, process.parent()))
    return found


def _is_own(path: Path) -> bool:
    with suppress(OSError):
        return path.lstat().st_uid == os.getuid() and path.is_dir()
    return False
