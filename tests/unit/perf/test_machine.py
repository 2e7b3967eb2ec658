"""What is known of the machine."""

from __future__ import annotations

import pytest

from perf.gpu import read_trtexec
from perf.machine import describe_machine, read_cpuinfo

TWO = "processor\t: 0\nmodel name\t: Quick 9000\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nmodel name\t: Other\n"


@pytest.mark.parametrize(
    ("text", "expected"), [("", ("unknown", set())), (TWO, ("Quick 9000", {"fpu", "avx2"})), ("x", ("unknown", set()))]
)
def test_cpuinfo(text: str, expected: tuple[str, set[str]]) -> None:
    assert read_cpuinfo(text) == expected


def test_this_machine_has_a_description() -> None:
    facts = describe_machine()
    assert all(isinstance(value, str) and value for name, value in facts.items() if name != "instructions")
    assert facts["nvidia-pytriton"] != "not installed"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [("", None), ("[I] === Performance summary ===\n[I] Throughput: 250.5 qps\n[I] Latency: min = 1 ms", 2004.0)],
)
def test_trtexec(printed: str, expected: float | None) -> None:
    assert read_trtexec(printed, 8) == expected
