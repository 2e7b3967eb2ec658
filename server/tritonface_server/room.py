"""What a server needs of the machine's limits, shared memory and open files, said before it starts."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

from tritonface_server.admission import SHARED_MEMORY
from tritonface_server.limits import MAX_REQUEST_BYTES
from tritonface_server.machine import LaunchError
from tritonface_server.served_models import read_config

PROCESS_BYTES = 3 * 2**20
"""Shared memory of one process of a model after its start; measured: 2.5 to 2.7 MiB."""
REQUEST_COPIES = 3
"""Shared memory that one request takes at most, as a multiple of its pictures; measured: 32 of 640x640, 2.9."""
MIN_OPEN_FILES = 256
"""Measured: 72 for 8 processes of models and 78 for 14; each connection takes one more."""
OPEN_FILES = 4096


def count_processes(repository: Path, models: Iterable[str], config_name: str) -> int:
    """Processes of these models of a repository under one configuration."""
    configs = [read_config(repository / model, config_name) for model in models]
    return sum(group.count for config in configs if config for group in config.instance_group)


def check_shared_memory(processes: int, folder: Path = SHARED_MEMORY) -> str | None:
    """A warning if the largest requests would not find room, with the size that fits; None if they do.

    Raises:
        LaunchError: not even the start would.
    """
    if not folder.is_dir():
        raise LaunchError(f"there is no {folder}, through which the processes of the models exchange pictures")
    status = os.statvfs(folder)
    found = status.f_bavail * status.f_frsize
    least = processes * PROCESS_BYTES
    wanted = least + REQUEST_COPIES * MAX_REQUEST_BYTES
    remedy = f"make it larger (in a container: --shm-size={wanted // 2**20 + 1}m)"
    if found < least:
        raise LaunchError(
            f"{folder} has {found / 2**20:.0f} MiB free, {processes} processes of models need {least / 2**20:.0f} MiB "
            f"to start; {remedy}, or serve with fewer (--cpus)"
        )
    if found >= wanted:
        return None
    return (
        f"{folder} has {found / 2**20:.0f} MiB free, the largest requests need {wanted / 2**20:.0f} MiB and will fail "
        f"with less; {remedy}"
    )


def raise_open_files() -> None:
    """Allow this process and its children as many open files as a server may need, if the system does.

    Raises:
        LaunchError: not even the fewest.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    allowed = OPEN_FILES if hard == unlimited else min(hard, OPEN_FILES)
    if allowed < MIN_OPEN_FILES:
        raise LaunchError(
            f"only {allowed} open files are allowed (ulimit -Hn), a server needs {MIN_OPEN_FILES} and one for each "
            "connection; raise the limit"
        )
    if soft != unlimited and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
