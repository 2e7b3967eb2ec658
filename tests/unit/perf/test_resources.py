"""What a process tree uses, read while it works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from perf import resources

HELD_MIB = 64
HOLD = f"held = bytearray(b'x') * ({HELD_MIB} << 20); print(flush=True); input()"


def test_what_a_child_allocates_counts_for_the_tree() -> None:
    pss_mib, growing_mib = resources.memory_mib(os.getpid()), resources.growing_mib(os.getpid())
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdin
        child.stdout.readline()
        assert resources.memory_mib(os.getpid()) - pss_mib > HELD_MIB
        assert resources.growing_mib(os.getpid()) - growing_mib > HELD_MIB
        child.stdin.close()


def test_all_of_shared_memory_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before_mib = resources.growing_mib(os.getpid())
    used = shutil.disk_usage(resources.SHARED_MEMORY).used + (HELD_MIB << 20)
    monkeypatch.setattr(shutil, "disk_usage", {resources.SHARED_MEMORY: SimpleNamespace(used=used)}.__getitem__)
    assert resources.growing_mib(os.getpid()) - before_mib == pytest.approx(HELD_MIB, abs=32)
