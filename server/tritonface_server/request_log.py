"""One JSON line for each request that a step declines, in which nothing of a stranger's breaks or floods the log."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

MAX_LINES = 10
"""In one delivery; what is beyond is counted."""
MAX_ID_CHARACTERS, MAX_MESSAGE_CHARACTERS = 64, 200
"""So that a line stays below 4096 bytes, however its characters are escaped: the system writes that much in one piece,
and the lines of several processes do not mix."""


class RequestLog:
    """Lines gathered by one thread and taken by another.

    Args:
        facts: of the step, for every line.
    """

    def __init__(self, **facts: str) -> None:
        self._facts = facts
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._left_out: Counter[str] = Counter()

    def declined(
        self, reason: str, message: str, request_id: str, inputs: Callable[[], dict[str, dict[str, object]]]
    ) -> None:
        """Note a request that was declined.

        Args:
            inputs: gives the shape and the bytes of each input; asked for only if there is room for a line.
        """
        with self._lock:
            if len(self._lines) >= MAX_LINES:
                self._left_out[reason] += 1
                return
            line = {
                "reason": reason,
                "id": shortened(request_id, MAX_ID_CHARACTERS),
                "message": shortened(message, MAX_MESSAGE_CHARACTERS),
                "inputs": inputs(),
            }
            self._lines.append(self._line("request_declined", line))

    def take(self) -> list[str]:
        """The lines since the last call; the last one counts those left out, by reason."""
        with self._lock:
            lines, left_out = self._lines, dict(self._left_out)
            self._lines, self._left_out = [], Counter()
        return [*lines, self._line("lines_left_out", {"count": left_out})] if left_out else lines

    def _line(self, event: str, facts: Mapping[str, object]) -> str:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        return json.dumps({"time": now, "level": "warning", "event": event, **self._facts, **facts})  # in ASCII


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning if it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
