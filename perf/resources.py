"""What a server's process tree uses: CPU time and memory."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tritonface_server.admission import SHARED_MEMORY

BLOCK_BYTES = 512
SERVER = "tritonserver"
MODEL_INSTANCE = re.compile(r"([^/]+)_\d+_\d+")
"""The argument that names a Python model's process: model, device, number."""


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its children."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def memory_mib(pid: int) -> float:
    """Proportional set size of a process and its children: shared pages are counted once in all."""
    total = 0
    for process in tree(pid):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:  # ended in between
            continue
    return total / 2**20


def growing_mib(pid: int) -> float:
    """What the tree's processes have each for themselves, and all that lies in /dev/shm.

    Its growth is that of `memory_mib`, once libraries and files are mapped, and looking at it stops nobody: for PSS the
    kernel holds a process's memory map, and requests wait for .1 to .4 s where the cores are busy.
    """
    own = 0
    for process in tree(pid):
        try:
            used = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        own += used.rss - used.shared
    return (own + shutil.disk_usage(SHARED_MEMORY).used) / 2**20


def shared_memory_mib(pid: int) -> float:
    """What the tree has in /dev/shm, where the Python backend keeps its tensors; it is part of `memory_mib`."""
    files = set()
    for process in tree(pid):
        try:
            files |= {Path(mapping.path) for mapping in process.memory_maps()}
        except psutil.NoSuchProcess:
            continue
    blocks = [file.stat().st_blocks for file in files if file.is_relative_to(SHARED_MEMORY) and file.is_file()]
    return sum(blocks) * BLOCK_BYTES / 2**20


def cpu_s_by_model(pid: int) -> Counter[str]:
    """CPU seconds that the processes of each Python model have used so far, and all others, as `SERVER`."""
    used: Counter[str] = Counter()
    for process in tree(pid):
        try:
            names = filter(None, map(MODEL_INSTANCE.fullmatch, process.cmdline()))
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[next((name[1] for name in names), SERVER)] += times.user + times.system
    return used


def during(pid: int, images: int, work: Callable[[], object]) -> dict[str, Any]:
    """CPU that the tree spent on a piece of work of so many images, and its memory afterwards."""
    before, started = cpu_s_by_model(pid), time.perf_counter()
    work()
    wall_s, used = time.perf_counter() - started, cpu_s_by_model(pid)
    used.subtract(before)  # unlike "-", keeps what is 0: the kernel counts hundredths of a second
    return {
        "cpu_ms_per_image": used.total() * 1e3 / images,
        "cpu_ms_by_model": {name: seconds * 1e3 / images for name, seconds in used.items()},
        "cores_busy": used.total() / wall_s,
        "images_per_s": images / wall_s,
        "memory_mib": memory_mib(pid),
        "shared_memory_mib": shared_memory_mib(pid),
    }
