"""What memory a step will need, measured on a small one: said before, because the kernel kills without a word.

A network's activations grow with the pixels of a batch and nothing else, so that one step on a small picture tells what
each pixel costs: some 600 bytes in BlazeFace, 2,000 in PicoDet. What Paddle counts as allocated is up to a sixth more
than what a step occupies in the end, which leaves room for the rest.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import paddle
import psutil

from training.config import ConfigError, Train
from training.detectors.description import DetectorDescription
from training.engine.training_step import TrainingStep, loss_of_epoch

LOG = logging.getLogger(__name__)
PROBE_PX = 128
CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 2**60


def check_memory(detector: DetectorDescription, train: Train, batch_size: int) -> None:
    """Log what the largest step on a CPU will need.

    Raises:
        ConfigError: more than there is; with what would fit.
    """
    free = free_bytes()
    per_pixel = bytes_per_pixel(detector, train)
    LOG.info(
        "a step needs up to %.1f GB of memory, %.1f GB are free",
        *(step_bytes(per_pixel, max(train.image_sizes or [train.image_size]), batch_size) / 1e9, free / 1e9),
    )
    check_step(per_pixel, train, batch_size, free)


def check_step(per_pixel: float, train: Train, batch_size: int, free: float) -> None:
    """Raise ConfigError if the largest step does not fit into `free` bytes, with what would."""
    sides = sorted(train.image_sizes or [train.image_size])
    need = step_bytes(per_pixel, sides[-1], batch_size)
    if need <= free:
        return
    fitting_batch = int(free / step_bytes(per_pixel, sides[-1], 1))
    fitting_sides = [side for side in sides if step_bytes(per_pixel, side, batch_size) <= free]
    largest_px = int(math.sqrt(free / per_pixel / batch_size)) // 32 * 32
    remedies = []
    if fitting_batch:
        remedies.append(f"set Train.batch_size={fitting_batch}, and Train.learning_rate in proportion")
    if train.image_sizes and fitting_sides:
        remedies.append(f"keep of Train.image_sizes those up to {fitting_sides[-1]}")
    elif largest_px:
        remedies.append(f"train at sides of up to {largest_px} px")
    raise ConfigError(
        f"a step of {batch_size} pictures of {sides[-1]}x{sides[-1]} px needs about {need / 1e9:.1f} GB of memory, and "
        f"{free / 1e9:.1f} GB are free; {', or '.join(remedies) or 'free some'}"
    )


def step_bytes(per_pixel: float, side_px: int, batch_size: int) -> float:
    """What a step allocates."""
    return per_pixel * side_px**2 * batch_size


def bytes_per_pixel(detector: DetectorDescription, train: Train) -> float:
    """What a step allocates for each pixel of its pictures, from one on a CPU; weights and gradients not counted."""
    network = detector.build_network(len(detector.labels))
    step = TrainingStep(network, detector, loss_of_epoch(detector, train, 0))
    step.train()
    picture = np.random.default_rng(0).integers(0, 256, (1, PROBE_PX, PROBE_PX, 3), np.uint8)
    face = np.array([[[PROBE_PX // 4, PROBE_PX // 4, PROBE_PX // 2, PROBE_PX // 2]]], np.float32)
    inputs = paddle.to_tensor(picture), paddle.to_tensor(face), paddle.to_tensor(np.zeros((1, 1), np.int64))
    step(*inputs)["loss"].backward()  # gradients are made once and stay
    core = paddle.base.core
    core.host_memory_stat_reset_peak_value("Allocated", 0)
    before = core.host_memory_stat_current_value("Allocated", 0)
    step(*inputs)["loss"].backward()
    return (core.host_memory_stat_peak_value("Allocated", 0) - before) / PROBE_PX**2


def free_bytes() -> float:
    """Memory that this process can still get: of the machine, swap included, or what its container leaves."""
    machine = psutil.virtual_memory().available + psutil.swap_memory().free
    own_cgroups = Path("/proc/self/cgroup")  # not there in every sandbox
    return min(machine, free_in_cgroups(own_cgroups.read_text() if own_cgroups.is_file() else "", CGROUPS))


def free_in_cgroups(own_cgroups: str, mount: Path) -> float:
    """What the tightest of a process's control groups leaves, bytes; infinity without a limit.

    Args:
        own_cgroups: content of /proc/PID/cgroup.
        mount: where the control groups, of version 1 or 2, are mounted.
    """
    free = [math.inf]
    for line in own_cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            free += _free(mount, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            free += _free(mount / "memory", path, *names)
    return min(free)


def _free(mount: Path, path: str, limit_name: str, used_name: str, cache_name: str) -> Iterator[float]:
    """For a cgroup and those around it; what files occupy in memory can be had."""
    own = PurePosixPath(path.lstrip("/"))
    for folder in (mount / cgroup for cgroup in (own, *own.parents)):
        limit = (folder / limit_name).read_text().strip() if (folder / limit_name).is_file() else "max"
        if limit != "max" and int(limit) < UNLIMITED:
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield int(limit) - int((folder / used_name).read_text()) + int(statistics.get(cache_name, 0))
