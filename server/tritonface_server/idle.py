"""Has something done once when there has been no work for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Idle:
    """Calls `rest` in a thread of its own after a pause, and never while there is work.

    Args:
        after_s: how long the pause has to be.
    """

    def __init__(self, rest: Callable[[], None], after_s: float) -> None:
        self._rest = rest
        self._after_s = after_s
        self._lock = threading.Lock()
        self._worked = threading.Event()
        self._worked_s = 0.0
        threading.Thread(target=self._run, name="idle", daemon=True).start()

    @contextmanager
    def work(self) -> Iterator[None]:
        """The block is work; it waits for `rest` to end."""
        with self._lock:
            yield
            self._worked_s = time.monotonic()
            self._worked.set()

    def _run(self) -> None:
        while self._worked.wait():
            time.sleep(max(self._worked_s + self._after_s - time.monotonic(), 0))
            with self._lock:
                if time.monotonic() - self._worked_s >= self._after_s:
                    self._worked.clear()
                    self._rest()
