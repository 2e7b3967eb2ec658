"""Processes that repeat a call."""

from __future__ import annotations

import operator
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perf.workers import WorkerError, Workers, calls_per_s, repeat


def test_at_least_once() -> None:
    calls: list[int] = []
    assert len(repeat(lambda: calls.append(1), 0.0)) == len(calls) == 1


PAUSE_S = 0.02


def make_sleeper(folder: Path) -> Callable[[], None]:
    """A call that sleeps and leaves a file for each thread that makes it."""

    def call() -> None:
        time.sleep(PAUSE_S)
        (folder / f"{os.getpid()}-{threading.get_ident()}").touch()

    return call


@pytest.mark.parametrize(("processes", "threads"), [(1, 1), (2, 2)])
def test_sleepers_add_up(tmp_path: Path, processes: int, threads: int) -> None:
    with Workers(make_sleeper, (tmp_path,), processes, threads) as workers:
        assert min(workers.latencies_ms(0.1)) >= PAUSE_S * 1e3
        for file in tmp_path.iterdir():
            file.unlink()
        rate = workers.calls_per_s(0.1)
    assert len(list(tmp_path.iterdir())) == processes * threads
    assert 0 < rate <= processes * threads / PAUSE_S


def test_the_rate_is_the_sum_over_all_threads() -> None:
    assert calls_per_s([]) == 0
    assert calls_per_s([[10.0, 10.0], [20.0]]) == pytest.approx(100 + 50)


def test_a_failing_call_is_told() -> None:
    with pytest.raises(WorkerError, match="TypeError"):
        Workers(operator.itemgetter, (0,), 1)
