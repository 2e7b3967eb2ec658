"""One `predict` call: which of its images are under way, and whose result comes next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from tritonface._inputs import Source
from tritonface._request import Rules
from tritonface._result import DetectionResult


class Run:
    """The images of one `predict` call: a bounded number under way, their results in order.

    Args:
        submit: starts one image.
        size: how many may be under way at once.
    """

    def __init__(
        self,
        submit: Callable[[Source, Rules], Future[DetectionResult]],
        sources: Iterator[Source],
        rules: Rules,
        size: int,
    ) -> None:
        self._submit = submit
        self._sources = sources
        self._rules = rules
        self._size = size
        self._under_way: deque[Future[DetectionResult]] = deque()
        self._waited_for: Future[DetectionResult] | None = None
        self._lock = threading.Lock()
        self._ended = False
        self._failure: Exception | None = None

    def next(self) -> Future[DetectionResult] | None:
        """The next image's result to be; None after the last.

        Raises:
            InvalidArgumentError: an element of the input is of no use, at its turn.
        """
        with self._lock:
            while not self._ended and len(self._under_way) < self._size:
                try:
                    self._under_way.append(self._submit(next(self._sources), self._rules))
                except StopIteration:
                    self._ended = True
                except Exception as error:  # its turn comes after the images before it
                    self._ended, self._failure = True, error
            if self._under_way:
                self._waited_for = self._under_way.popleft()
                return self._waited_for
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return None

    def cancel(self) -> None:
        """Start nothing more and give up what is under way; without effect when all has been delivered."""
        with self._lock:
            self._ended, self._failure = True, None
            rest = [*self._under_way, *filter(None, [self._waited_for])]
            self._under_way.clear()
        for future in rest:
            future.cancel()
