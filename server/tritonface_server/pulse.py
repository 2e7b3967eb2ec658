"""Ends a tritonserver that lives but answers nothing any more, so that it is started anew.

Triton 2.51 writes a trace of its stack when it crashes. That takes memory, and where its heap is damaged or another
thread has the heap's lock it hangs instead of dying.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tritonface_server.control import Control
from tritonface_server.say import warn

INTERVAL_S = 2.0
SILENT_S = 20.0
"""Several questions long; a server that is merely busy answers this one at once."""


@contextmanager
def pulse(control: Control, kill: Callable[[], None], silent_s: float = SILENT_S) -> Iterator[None]:
    """Within the block, kill the server if it has not answered for so long; in a thread, as loading a model waits."""
    over = threading.Event()

    def watch() -> None:
        answered_s = time.monotonic()
        while not over.wait(INTERVAL_S):
            if control.is_live():
                answered_s = time.monotonic()
            elif time.monotonic() - answered_s > silent_s and not over.is_set():
                warn(f"tritonserver has not answered for {silent_s:g} s; ending it ...")
                kill()
                return

    threading.Thread(target=watch, name="pulse", daemon=True).start()
    try:
        yield
    finally:
        over.set()
