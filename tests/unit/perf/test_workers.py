"""Processes that repeat a call."""

from __future__ import annotations

import operator
import time
from functools import partial

import pytest

from perf.workers import WorkerError, Workers, repeat


def test_at_least_once() -> None:
    calls: list[int] = []
    assert len(repeat(lambda: calls.append(1), 0.0)) == len(calls) == 1


@pytest.mark.parametrize(("processes", "threads"), [(1, 1), (2, 2)])
def test_sleepers_add_up(processes: int, threads: int) -> None:
    pause_s = 0.1  # long against what a busy machine adds
    with Workers(partial, (time.sleep, pause_s), processes, threads) as workers:
        assert min(workers.latencies_ms(0.2)) >= pause_s * 1e3
        rate = workers.calls_per_s(0.6)
    most = processes * threads / pause_s
    assert most / 10 < rate <= most


def test_a_failing_call_is_told() -> None:
    with pytest.raises(WorkerError, match="TypeError"):
        Workers(operator.itemgetter, (0,), 1)
