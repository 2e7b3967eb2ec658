"""How many CPUs the server may use: affinity and the container's quota, not what the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """CPUs this process may run on, capped by the quota of its cgroup (`docker run --cpus`), rounded up; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota(Path("/proc/self/cgroup").read_text(), CGROUPS)
    return max(1, math.ceil(min(allowed, quota)))


def cpu_quota(own_cgroups: str, mount: Path) -> float:
    """CPUs' worth of time that a process gets, by the tightest of its cgroups; infinity without a limit.

    Args:
        own_cgroups: content of /proc/PID/cgroup.
        mount: where the control groups, of version 1 or 2, are mounted.
    """
    quotas = [math.inf]
    for line in own_cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            quotas += [_share(*text.split()) for text in _texts(mount, path, "cpu.max")]
        elif "cpu" in controllers.split(","):
            limits = _texts(mount / "cpu", path, "cpu.cfs_quota_us")
            periods = _texts(mount / "cpu", path, "cpu.cfs_period_us")
            quotas += [_share(*pair) for pair in zip(limits, periods)]
    return min(quotas)


def _texts(mount: Path, path: str, name: str) -> Iterator[str]:
    """A file's content in a cgroup and in those around it, as far as a container can see them."""
    own = PurePosixPath(path.lstrip("/"))
    for cgroup in (own, *own.parents):
        if (mount / cgroup / name).is_file():
            yield (mount / cgroup / name).read_text()


def _share(limit: str, period_us: str) -> float:
    return int(limit) / int(period_us) if limit.strip() not in ("max", "-1") else math.inf
