"""Everything that is started inside stays on so many CPUs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from perf.cpus import confined_to

COUNT = "import os; print(len(os.sched_getaffinity(0)))"


@pytest.mark.parametrize("fails", [False, True])
def test_confined_and_free_again(fails: bool) -> None:
    before = os.sched_getaffinity(0)
    try:
        with confined_to(1):
            assert os.sched_getaffinity(0) == {min(before)}
            assert subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True).stdout == "1\n"
            if fails:
                raise TimeoutError
    except TimeoutError:
        assert fails
    assert os.sched_getaffinity(0) == before


def test_more_than_there_are() -> None:
    with confined_to(1000):
        assert os.sched_getaffinity(0)
