"""What a server's process tree uses: CPU time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from serving.server import cpu_time_s

SHARED_MEMORY = Path("/dev/shm")
BLOCK_BYTES = 512


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


def during(pid: int, images: int, work: Callable[[], object]) -> dict[str, float]:
    """CPU that the tree spent on a piece of work of so many images, and its memory afterwards."""
    cpu_s, started = cpu_time_s(pid), time.perf_counter()
    work()
    cpu_s, wall_s = cpu_time_s(pid) - cpu_s, time.perf_counter() - started
    return {
        "cpu_ms_per_image": cpu_s * 1e3 / images,
        "cores_busy": cpu_s / wall_s,
        "images_per_s": images / wall_s,
        "memory_mib": memory_mib(pid),
        "shared_memory_mib": shared_memory_mib(pid),
    }
