"""The end by force, of a process of its own that does not end by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tritonface_server.say import PATIENCE_S, say

HANGS = """
import signal, threading
from tritonface_server.last_resort import end_after_signal

def lose(signum, frame):
    print("told", flush=True)

def hang_here():
    lock.acquire()

signal.signal(signal.SIGINT, lose)
end_after_signal(0.5, lambda: print("children killed", flush=True))
lock = threading.Lock()
lock.acquire()
print("hangs", flush=True)
hang_here()
"""


def test_what_hangs_after_a_signal_is_ended_and_says_where() -> None:
    command = [sys.executable, "-c", HANGS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stdout.readline() == "hangs\n"
        time.sleep(1)
        assert process.poll() is None  # nobody has told it to end
        process.send_signal(signal.SIGINT)
        told_s = time.monotonic()
        said, errors = process.communicate(timeout=30)
        assert 0.4 < time.monotonic() - told_s < 5
    assert process.returncode == 1 and said == "told\nchildren killed\n"
    assert "not ended 0.5 s after the signal" in errors and "in hang_here" in errors


def test_a_reader_that_does_not_read_holds_nobody_up() -> None:
    receive, send = os.pipe()
    with os.fdopen(receive, "rb") as reader, os.fdopen(send, "w") as writer:
        os.set_blocking(send, False)
        try:
            while True:
                os.write(send, bytes(2**16))
        except BlockingIOError:
            os.set_blocking(send, True)
        began_s = time.monotonic()
        say("draining ...", writer)
        assert time.monotonic() - began_s < PATIENCE_S + 1
        os.set_blocking(receive, False)
        while reader.read(2**16):
            pass
        say("stopped", writer)
        assert reader.read() == b"stopped\n"
