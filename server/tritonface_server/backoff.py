"""When to start anew what has died, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass

STABLE_S = 10.0
"""What has run for so long had a good start; its next death is the first one again."""
MAX_FAILURES = 5
"""So many failures in a row, at the start or soon after it, are enough."""
MAX_DELAY_S = 4.0


@dataclass
class Backoff:
    """The failures of one process in a row; times are those of one monotonic clock.

    Attributes:
        endless: what has once started is started anew without end, however soon it dies: its clients may end it, and to
            give up would do them a favour.
    """

    endless: bool = False
    failures: int = 0
    _started_s: float | None = None

    def started(self, now_s: float) -> None:
        """It runs."""
        self._started_s = now_s

    def failed(self, now_s: float) -> float | None:
        """It has not started, or has died: seconds to wait before the next start, 0 the first time; None to give up."""
        started_s, self._started_s = self._started_s, None
        if started_s is not None and now_s - started_s >= STABLE_S:
            self.failures = 0
        self.failures += 1
        if self.failures >= MAX_FAILURES and (started_s is None or not self.endless):
            return None
        return min(2.0 ** (self.failures - 2), MAX_DELAY_S) if self.failures > 1 else 0.0
