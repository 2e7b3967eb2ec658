"""Groups of processes end with a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.launched import eventually, is_there
from tritonface_server.parent import guarded, wait_for_end

SLEEPER = "trap '' TERM; (sleep 60) & echo $!; wait"
PARENT = f"""
import os, signal, subprocess
from tritonface_server.parent import guarded
group = subprocess.Popen(["sh", "-c", {SLEEPER!r}], stdout=-1, stderr=subprocess.DEVNULL, start_new_session=True)
print(group.pid, group.stdout.readline().decode(), flush=True)
with guarded(group.pid, 1):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_left_of_the_group_is_killed() -> None:
    run = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True)
    assert run.returncode == -signal.SIGKILL
    pids = list(map(int, run.stdout.split()))
    assert len(pids) == 2 and all(map(is_there, pids))
    assert eventually(lambda: not any(map(is_there, pids)))


def test_the_guard_goes_with_the_block_and_kills_nobody() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        try:
            with guarded(child.pid, 1):
                pass
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.3)
        finally:
            os.kill(child.pid, signal.SIGKILL)
    assert not Path(f"/proc/{child.pid}").exists()


def test_the_end_of_a_child() -> None:
    with subprocess.Popen(["sh", "-c", "read -r _; exit 3"], stdin=subprocess.PIPE) as child:
        assert wait_for_end(child, 0) is None
        began_s = time.monotonic()
        assert wait_for_end(child, 0.2) is None and time.monotonic() - began_s >= 0.19
        child.stdin.close()
        assert wait_for_end(child, 10) == 3 and time.monotonic() - began_s < 5
        assert wait_for_end(child, 10) == 3


def test_the_wait_is_over_when_another_process_ends() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        shell = ["sh", "-c", "sleep 60 & echo $!; wait"]  # its child is not ours
        with subprocess.Popen(shell, stdout=subprocess.PIPE) as parent:
            other = int(parent.stdout.readline())
            began_s = time.monotonic()
            assert wait_for_end(child, 0.2, [other]) is None and time.monotonic() - began_s >= 0.19
            os.kill(other, signal.SIGKILL)
            for _ in range(2):  # then it has gone
                assert wait_for_end(child, 30, [other]) is None and time.monotonic() - began_s < 10
        child.stdin.close()
        assert wait_for_end(child, 10) == 0


ADOPTS = """
import os, signal, subprocess
from tritonface_server.parent import adopt_orphans, reap
adopt_orphans()
group = subprocess.Popen(["sh", "-c", "sleep 60 & echo & wait"], stdout=-1, start_new_session=True)
group.stdout.readline()
os.killpg(group.pid, signal.SIGKILL)
group.wait()
reap(group.pid)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none")
"""


def test_who_adopts_a_killed_group_waits_for_all_of_it() -> None:
    run = subprocess.run([sys.executable, "-c", ADOPTS], capture_output=True, text=True, check=True)
    assert run.stdout == "none\n"
