"""Processes that do the same work over and over and say how fast: one at a time, or all together."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

Call = Callable[[], object]
START_TIMEOUT_S = 120


class WorkerError(RuntimeError):
    """A worker cannot do its work; the message is that of its exception."""


class Workers:
    """`processes` x `threads` loops around one call; a context manager.

    Args:
        make_call: module-level function that makes the call, once for each thread, in the worker's process.
        arguments: of `make_call`.
    """

    def __init__(self, make_call: Callable[..., Call], arguments: tuple[Any, ...], processes: int, threads: int = 1):
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, make_call, arguments, threads), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        try:
            for pipe in self._pipes:
                _answer(pipe)  # loaded and warmed up
        except WorkerError:
            self.close()
            raise

    def latencies_ms(self, duration_s: float) -> list[float]:
        """Times of the calls that one thread makes one after the other in about `duration_s`."""
        self._pipes[0].send((1, duration_s))
        return _answer(self._pipes[0])[0]

    def calls_per_s(self, duration_s: float) -> float:
        """Calls of all threads of all processes together, per second."""
        for pipe in self._pipes:
            pipe.send((None, duration_s))
        return calls_per_s([times_ms for pipe in self._pipes for times_ms in _answer(pipe)])

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=10)
            if process.is_alive():
                process.kill()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def calls_per_s(threads_ms: list[list[float]]) -> float:
    """The rate of all threads together, from the milliseconds of each one's calls."""
    return sum(len(times_ms) / (sum(times_ms) / 1e3) for times_ms in threads_ms)


def repeat(call: Call, duration_s: float) -> list[float]:
    """Milliseconds of each call, made one after the other until `duration_s` have passed, at least once."""
    times_ms, end = [], time.perf_counter() + duration_s
    before = time.perf_counter()
    while not times_ms or before < end:
        call()
        now = time.perf_counter()
        times_ms.append((now - before) * 1e3)
        before = now
    return times_ms


def _work(pipe: Connection, make_call: Callable[..., Call], arguments: tuple[Any, ...], threads: int) -> None:
    """The worker's process: answers each (threads or None for all, seconds) with the times of each thread."""
    try:
        calls = [make_call(*arguments) for _ in range(threads)]
        for call in calls:
            call()
        pipe.send(("ready", None))
        while True:
            count, duration_s = pipe.recv()
            pipe.send(("times", _repeat_together(calls[:count], duration_s)))
    except EOFError:  # the other side has closed
        return
    except Exception as error:  # every failure belongs to the one who waits for the answer
        pipe.send(("error", f"{type(error).__name__}: {error}"))


def _repeat_together(calls: list[Call], duration_s: float) -> list[list[float]]:
    if len(calls) == 1:
        return [repeat(calls[0], duration_s)]
    results: list[list[float]] = [[] for _ in calls]

    def run(i: int) -> None:
        results[i] = repeat(calls[i], duration_s)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not all(results):
        raise WorkerError("a thread of a worker failed; its message is above")
    return results


def _answer(pipe: Connection) -> Any:
    if not pipe.poll(START_TIMEOUT_S):
        raise WorkerError(f"a worker has not answered for {START_TIMEOUT_S} s")
    try:
        kind, content = pipe.recv()
    except EOFError:
        raise WorkerError("a worker's process has died") from None
    if kind == "error":
        raise WorkerError(content)
    return content
