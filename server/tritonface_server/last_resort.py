"""The launcher's end has a bound, whatever it waits for: then it is ended by force and says where it hung."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable

from tritonface_server.say import warn


def end_after_signal(within_s: float, kill_children: Callable[[], None]) -> None:
    """From the first signal that has a handler, this process has so long to end; for the main thread.

    Args:
        kill_children: what must not outlive this process.
    """
    receive, send = os.pipe()
    os.set_blocking(send, False)
    signal.set_wakeup_fd(send, warn_on_full_buffer=False)  # works where the handler's exception is lost, too
    main = threading.get_ident()

    def watch() -> None:
        os.read(receive, 1)
        time.sleep(within_s)
        kill_children()
        place = "".join(traceback.format_stack(sys._current_frames().get(main)))
        warn(f"not ended {within_s:g} s after the signal; ended by force, where it hung:\n{place}")
        os._exit(1)

    threading.Thread(target=watch, name="last resort", daemon=True).start()
