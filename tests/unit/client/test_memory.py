"""Memory that was freed is used again instead of being faulted in anew."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from tritonface import _memory

FAULTS = """
import resource
from tritonface._memory import keep_freed_memory
keep_freed_memory()
def go_through_pictures():
    for _ in range(20):
        pieces = [bytearray(b"x") * (3 * 2**20 + i) for i in range(4)]
go_through_pictures()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
go_through_pictures()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="a setting of glibc")
def test_pictures_are_not_faulted_in_anew() -> None:
    output = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout
    pages = 20 * 4 * 3 * 2**20 // 4096
    assert int(output) < pages / 10


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory.ctypes, "CDLL", lambda name: object())
    _memory.keep_freed_memory()
