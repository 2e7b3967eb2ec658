"""How long a request can have waited in the queue in front of a step: Triton does not tell a step."""

from __future__ import annotations

import time
from collections import deque

IDLE_S = 0.005
"""A step that is called again only after so long a pause has had an empty queue, unless the server was full."""


class QueueWait:
    """The longest time that the request at hand can have waited.

    When it came, the queue held no more than it has places for. So it came later than the request was taken out that is
    so many places before it, and later than the queue was empty for the last time. Where the queue is full all the
    time, as under overload, that is about the very time.

    Args:
        places: of the queue, as many as fall to this one of the step's processes.
    """

    def __init__(self, places: int) -> None:
        self._taken_s: deque[float] = deque(maxlen=max(places, 1))
        self._done_s = 0.0

    def taken(self, server_full: bool = False) -> float:
        """Call it for each request: seconds that it has waited at most.

        Args:
            server_full: a pause then tells nothing of the queue: Triton misses that a process is free, for up to .1 s.
        """
        now_s = time.monotonic()
        if now_s - self._done_s > IDLE_S and not server_full:
            self._taken_s.clear()
        waited_s = now_s - self._taken_s[0] if self._taken_s else 0.0
        self._taken_s.append(now_s)
        return waited_s

    def done(self) -> None:
        """Call it when the answers go out."""
        self._done_s = time.monotonic()
