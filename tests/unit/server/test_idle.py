"""What is done after a pause, once, and not while there is work."""

from __future__ import annotations

import threading
import time

from tests.launched import eventually
from tritonface_server.idle import Idle


def test_nothing_without_work() -> None:
    rests: list[float] = []
    Idle(lambda: rests.append(time.monotonic()), after_s=0)
    time.sleep(0.1)
    assert not rests


def test_once_after_the_pause() -> None:
    rests: list[float] = []
    idle = Idle(lambda: rests.append(time.monotonic()), after_s=0.2)
    for _ in range(5):
        with idle.work():
            time.sleep(0.05)
    worked_s = time.monotonic()
    assert not rests and eventually(lambda: rests)
    time.sleep(0.4)
    assert len(rests) == 1 and rests[0] - worked_s > 0.15
    with idle.work():
        pass
    assert eventually(lambda: len(rests) == 2)


def test_not_while_there_is_work() -> None:
    resting, go_on = threading.Event(), threading.Event()

    def rest() -> None:
        resting.set()
        go_on.wait(10)

    idle = Idle(rest, after_s=0.01)
    with idle.work():
        time.sleep(0.1)
        assert not resting.is_set()
    assert resting.wait(10)
    threading.Timer(0.1, go_on.set).start()
    began_s = time.monotonic()
    with idle.work():
        assert go_on.is_set() and time.monotonic() - began_s < 5
