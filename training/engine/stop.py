"""Ctrl-C and SIGTERM end a training after the step or photo at hand, with a result file and no process left behind.

An exception raised within a signal handler may get lost in somebody's `except:`, so the first signal only leaves a note
that the loop looks at. A second one ends the process at once.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import paddle

_received: list[int] = []


def listen() -> None:
    """Handle both signals; Paddle's own handler of SIGTERM prints a stack and may hang."""
    paddle.disable_signal_handler()
    forget()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _take_note)


def forget() -> None:
    """Take the signals that have come for seen."""
    _received.clear()


def check() -> None:
    """KeyboardInterrupt or SystemExit if a signal has come."""
    if signal.SIGINT in _received:
        raise KeyboardInterrupt
    if _received:
        sys.exit("terminated by SIGTERM")


def _take_note(number: int, _: FrameType | None) -> None:
    _received.append(number)
    signal.signal(number, signal.SIG_DFL)
