from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tritonface_server.cpus import cpu_quota, usable_cpus


def test_no_cgroups(tmp_path: Path) -> None:
    assert cpu_quota("", tmp_path) == math.inf
    assert cpu_quota("0::/\n", tmp_path) == math.inf


@pytest.mark.parametrize(
    ("own_cgroups", "files", "expected"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),  # a container's own view
        ("0::/", {"cpu.max": "max 100000"}, math.inf),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2),  # the tightest of a cgroup's own
        ("0::/a/b", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5),  # and those around it
        ("0::/host/path", {"cpu.max": "300000 100000"}, 3),  # the host's path does not exist inside
        ("4:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000"}, 4),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ("3:cpuset:/", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
    ],
)
def test_the_quota(own_cgroups: str, files: dict[str, str], expected: float, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert cpu_quota(own_cgroups, tmp_path) == expected


def test_the_affinity_counts_not_the_machine() -> None:
    cpu = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{cpu}]); "
        "from tritonface_server.cpus import usable_cpus; print(usable_cpus())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
