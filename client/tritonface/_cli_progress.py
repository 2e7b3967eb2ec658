"""`[===>   ] 12/500` on a terminal, nothing elsewhere."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TextIO

WIDTH = 30
REDRAW_S = 0.1


class Progress:
    """A bar, or a count where nobody knows the total; a context manager.

    Args:
        total: steps; None if it is not known.
        unit: what is counted, if there is more to say than the count.
        done: steps that were done before.
    """

    def __init__(self, total: int | None, stream: TextIO, unit: str = "", done: int = 0) -> None:
        self._total, self._done, self._before, self._stream, self._unit = total, done, done, stream, unit
        self._shown = total != 1 and total != 0 and stream.isatty()
        self._began_s = self._drawn_s = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        """One step is done, or several at once."""
        self._done += steps
        if not self._unit or time.monotonic() - self._drawn_s >= REDRAW_S:
            self._draw()

    def clear(self) -> None:
        """Make room for a line of output."""
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def _draw(self) -> None:
        if not self._shown:
            return
        self._drawn_s = time.monotonic()
        if self._total is None:
            text = str(self._done)
        else:
            filled = min(WIDTH, WIDTH * self._done // self._total)
            text = f"[{'=' * filled:<{WIDTH}}] {self._done}/{self._total}"
        if self._unit:
            text += f" {self._unit}, {(self._done - self._before) / max(self._drawn_s - self._began_s, 1e-9):.1f}/s"
        self._stream.write(f"\r\033[K{text}")
        self._stream.flush()

    def __enter__(self) -> Progress:
        self._draw()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            self.clear()
