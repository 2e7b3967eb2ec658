"""How long a request can have waited at most, from when the ones before it were taken."""

from __future__ import annotations

import pytest

from tritonface_server.steps import waiting
from tritonface_server.steps.waiting import QueueWait


class Clock:
    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def serve(queue: QueueWait, clock: Clock, takes_s: float, pause_s: float = 0.001, server_full: bool = False) -> float:
    waited_s = queue.taken(server_full)
    clock.now_s += takes_s
    queue.done()
    clock.now_s += pause_s
    return waited_s


def test_the_first_one_has_not_waited(clock: Clock) -> None:
    assert QueueWait(8).taken() == 0


def test_a_step_that_pauses_has_an_empty_queue(clock: Clock) -> None:
    queue = QueueWait(8)
    assert [serve(queue, clock, 0.1, pause_s=0.1) for _ in range(20)] == [0] * 20


def test_a_pause_while_the_server_is_full_may_be_tritons(clock: Clock) -> None:
    queue = QueueWait(8)
    waited_s = [serve(queue, clock, 0.1, pause_s=0.1, server_full=i > 0) for i in range(20)]
    assert waited_s == pytest.approx([0.2 * min(i, 8) for i in range(20)])
    assert queue.taken() == 0


def test_a_full_queue_makes_wait_for_all_its_places(clock: Clock) -> None:
    queue = QueueWait(8)
    waited_s = [serve(queue, clock, 0.1, pause_s=0.0) for _ in range(20)]
    assert waited_s[:3] == pytest.approx([0, 0.1, 0.2])
    assert waited_s[8:] == pytest.approx([0.8] * 12)


def test_what_is_turned_away_quickly_shortens_the_wait(clock: Clock) -> None:
    queue = QueueWait(8)
    for _ in range(20):
        serve(queue, clock, 0.1)
    for _ in range(8):
        serve(queue, clock, 0.0)
    assert queue.taken() < 0.02
