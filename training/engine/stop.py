"""Ctrl-C and SIGTERM end a training between two steps at the latest, with a result file and no process left."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import paddle

_received: list[int] = []


def listen() -> None:
    """Handle both signals; Paddle's own handler of SIGTERM prints a stack and may hang."""
    paddle.disable_signal_handler()
    _received.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def check() -> None:
    """Stop if a signal came: what its handler raised may have been lost in somebody's `except:`."""
    if _received:
        _raise(_received[0])


def _stop(number: int, _: FrameType | None) -> None:
    _received.append(number)
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit("terminated by SIGTERM")
