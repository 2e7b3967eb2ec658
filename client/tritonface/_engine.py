"""The one background thread in which all network traffic of the process runs, for the sync and the async API alike.

Both APIs hand work to it and wait for `concurrent.futures.Future`s, each in its own way. So there is one
implementation of everything that waits, and gRPC, which dislikes several event loops in one process, sees one.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from tritonface._errors import InvalidArgumentError
from tritonface._process import check_asyncio

T = TypeVar("T")

END_TIMEOUT_S = 5.0
"""Ctrl-C may meet the main thread as it has just taken a future's lock, of which Python lets it keep hold: the thread
that waits for it never ends, and must not keep the program."""


class Engine:
    """An event loop in a daemon thread; it runs as long as somebody has acquired it."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()  # a forgotten model may be released in the middle of an acquire
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ending: threading.Thread | None = None

    def acquire(self) -> None:
        """Keep the thread running until `release`.

        Raises:
            InvalidArgumentError: it cannot run in this process.
        """
        ending = self._ending
        if ending is not None and ending is not threading.current_thread():
            ending.join(END_TIMEOUT_S)  # under gevent two loops cannot overlap
        check_asyncio(self._loop)
        with self._lock:
            self._users += 1
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="tritonface", daemon=True)
                self._thread.start()

    def release(self) -> None:
        """Give up one `acquire`; the last one ends the thread."""
        with self._lock:
            self._users -= 1
            if self._users > 0 or self._loop is None or self._thread is None:
                return
            loop, thread = self._loop, self._thread
            self._loop, self._thread, self._ending = None, None, thread
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(END_TIMEOUT_S)

    def is_current(self) -> bool:
        """Whether the caller is the engine's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start the coroutine that `work` makes, in the thread; cancelling the future cancels it.

        Raises:
            InvalidArgumentError: the thread has ended, or never was in this process.
        """
        future: Future[T] = Future()
        with self._lock:  # the thread, once told to end, starts nothing more
            if self._loop is None:
                raise InvalidArgumentError(
                    "the model is closed, or was made before this process was forked; make a new one with create_model"
                )
            self._loop.call_soon_threadsafe(_start, work, future)
        return future


def _start(work: Callable[[], Coroutine[Any, Any, T]], future: Future[T]) -> None:
    """Run in the thread, so that Ctrl-C, which meets the main thread, never falls between coroutine and task."""
    if future.cancelled():
        return
    loop = asyncio.get_running_loop()
    try:
        task = loop.create_task(work())
    except Exception as error:  # whatever it is, somebody waits for the future
        future.set_exception(error)
        return

    def cancel(future: Future[T]) -> None:
        if future.cancelled():
            with suppress(RuntimeError):  # the loop is closed, and all its tasks with it
                loop.call_soon_threadsafe(task.cancel)

    def deliver(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            future.cancel()
        error = None if task.cancelled() else task.exception()
        if not future.set_running_or_notify_cancel():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())

    future.add_done_callback(cancel)
    task.add_done_callback(deliver)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        if rest:
            loop.run_until_complete(asyncio.wait(rest))
        loop.run_until_complete(loop.shutdown_asyncgens())
        with suppress(RuntimeError):  # no thread can be started any more when Python is ending
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


engine = Engine()
if hasattr(os, "register_at_fork"):  # threads do not survive a fork: a child starts its own
    os.register_at_fork(after_in_child=engine._reset)
