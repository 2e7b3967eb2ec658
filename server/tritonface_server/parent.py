"""Child processes: they end with the process that started them, even if that is killed (Linux), and are waited for."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
REAP_ATTEMPTS, REAP_INTERVAL_S = 300, 0.01
KILLED_S = 5.0
"""For a killed process to end: the kernel has memory to free, or waits for a disk that does not answer."""
GUARD = """
read -r _                                                     # returns when the parent has ended
n=0; while kill -0 "$1" && [ $n -lt "$2" ]; do sleep 1; n=$((n + 1)); done
kill -s KILL -- "-$1"
"""


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to the calling process when its parent ends; without effect elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def adopt_orphans() -> None:
    """Become the parent of what the children of this process leave behind, to `reap` it; without effect elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


@contextmanager
def guarded(group: int, patience_s: int) -> Iterator[None]:
    """Have what is left of a group of processes killed if this process is killed within the block.

    `end_with_parent` reaches the group's first process only; the others may not notice when that one has gone.

    Args:
        group: the number of the group, which is that of its first process.
        patience_s: how long to wait for that one.
    """
    command = ["sh", "-c", GUARD, "sh", str(group), str(patience_s)]
    quiet = subprocess.DEVNULL  # it would keep our caller's pipes open
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield
    finally:
        guard.kill()  # before it can read the end
        if guard.stdin:
            guard.stdin.close()
        wait_for_end(guard, KILLED_S)


def kill_group(leader: subprocess.Popen[bytes]) -> int | None:
    """Kill a process and the group that it leads; its exit code, or None if it has not ended nevertheless."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    return wait_for_end(leader, KILLED_S)


def reap(group: int) -> None:
    """Wait for the killed processes of a group that have become this process's children, see `adopt_orphans`."""
    with suppress(ChildProcessError):  # there are none, or no more
        for _ in range(REAP_ATTEMPTS):
            pid, _ = os.waitpid(-group, os.WNOHANG)
            if not pid:
                time.sleep(REAP_INTERVAL_S)


def wait_for_end(child: subprocess.Popen[bytes], within_s: float, others: Iterable[int] = ()) -> int | None:
    """The exit code of a child if it ends within that time; `Popen.wait` looks 70 times a second.

    Args:
        others: numbers of processes, this process's children or not; when one of them ends, the wait is over, too.
    """
    with ExitStack() as opened:
        ended = select.poll()
        for pid in (child.pid, *others):
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                within_s = 0
            except OSError:  # Linux is older than 5.3
                continue
            else:
                opened.callback(os.close, descriptor)
                ended.register(descriptor, select.POLLIN)
        ended.poll(within_s * 1e3)
    return child.poll()
