"""The background thread: what is submitted ends, whoever cancels, interrupts or closes meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import pytest

from tritonface import InvalidArgumentError
from tritonface._engine import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    engine.acquire()
    yield engine
    engine.release()


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def fail() -> int:
    raise ValueError("no")


async def never() -> int:
    await asyncio.Event().wait()
    return 0


def test_nothing_is_submitted_without_a_thread() -> None:
    with pytest.raises(InvalidArgumentError, match="the model is closed"):
        Engine().submit(answer)


def test_results_and_failures(engine: Engine) -> None:
    assert engine.submit(answer).result(10) == 42
    with pytest.raises(ValueError, match="no"):
        engine.submit(fail).result(10)


def test_cancelling_the_future_cancels_the_work(engine: Engine) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await never()
        finally:
            ended.set()

    future = engine.submit(work)
    engine.submit(answer).result(10)  # `work` has begun
    assert future.cancel() and ended.wait(10)


def test_the_end_cancels_what_is_under_way() -> None:
    engine = Engine()
    engine.acquire()
    future = engine.submit(never)
    engine.release()
    with pytest.raises(CancelledError):
        future.result(10)


def test_no_future_outlives_the_thread() -> None:
    for _ in range(50):
        engine = Engine()
        engine.acquire()
        futures: list[Future[int]] = []

        def submit(engine: Engine = engine, futures: list[Future[int]] = futures) -> None:
            try:
                while True:
                    futures.append(engine.submit(answer))
            except InvalidArgumentError:
                pass

        thread = threading.Thread(target=submit)
        thread.start()
        while len(futures) < 5:
            pass
        engine.release()
        thread.join()
        assert not wait(futures, 10).not_done


def test_what_cannot_begin_fails(engine: Engine) -> None:
    def work() -> Coroutine[Any, Any, int]:
        raise ValueError("no coroutine")

    with pytest.raises(ValueError, match="no coroutine"):
        engine.submit(work).result(10)


def test_a_thread_that_hangs_does_not_keep_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonface._engine.END_TIMEOUT_S", 0.05)
    hanging, over = threading.Event(), threading.Event()

    async def hang() -> None:
        hanging.set()
        over.wait(60)

    engine = Engine()
    engine.acquire()
    thread = engine._thread
    engine.submit(hang)
    assert hanging.wait(10)
    engine.release()
    assert thread.is_alive()
    over.set()
    thread.join(10)
    assert not thread.is_alive()


def test_the_coroutine_is_made_in_the_thread(engine: Engine) -> None:
    """So that Ctrl-C, which meets the main thread, never leaves one that was made and not awaited."""
    made_there = []

    def work() -> Coroutine[Any, Any, int]:
        made_there.append(engine.is_current())
        return answer()

    engine.submit(work).result(10)
    assert made_there == [True] and not engine.is_current()
