"""Lines for the user of the launcher, who may have stopped reading them."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO

STDERR = 2
PATIENCE_S = 0.5
"""For a reader whose pipe is full: what waits longer is not said, for the launcher has servers to look after."""


def say(line: str, stream: TextIO | None = None) -> None:
    """Tell the user, if there is still somebody to read it."""
    stream = stream or sys.stdout
    if stream is None:  # it was closed when Python started
        return
    try:
        if _takes(stream.fileno()):
            print(line, file=stream, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def warn(line: str) -> None:
    """Tell the user what is not as it should be."""
    say(line, sys.stderr)


def fill_standard_streams() -> None:
    """Open what the caller has closed, or the next file that tritonserver opens would receive its log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _takes(descriptor: int) -> bool:
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    return bool(room.poll(PATIENCE_S * 1e3))
