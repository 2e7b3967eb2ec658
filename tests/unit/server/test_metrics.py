"""Counts are gathered, taken once and handed on in time; every step names what it counts."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from tritonface_server.metrics import (
    FACES_FOUND,
    FAMILIES,
    IMAGES_DECODED,
    STAGES,
    Counts,
    Delivery,
    series,
    series_of_model,
)


def test_nothing_is_gathered_at_first() -> None:
    assert Counts().take() == {}


def test_what_is_known_is_told_as_zero_once() -> None:
    counts = Counts([series(FACES_FOUND, detector="D")])
    assert counts.take() == {series(FACES_FOUND, detector="D"): 0}
    assert counts.take() == {}


def test_a_count_that_comes_while_counts_are_taken_is_not_lost() -> None:
    counts, taken = Counts(), []
    taker = threading.Thread(target=lambda: taken.append(sum(counts.take().values())))

    class Amount(float):
        """Between the moments in which the sum is read and written, another thread takes what there is."""

        def __radd__(self, total: float) -> float:
            taker.start()
            taker.join(0.1)
            return total + float(self)

    counts.add(series(IMAGES_DECODED, detector="D"), Amount(1))
    taker.join(10)
    assert taken[0] + sum(counts.take().values()) == 1


def test_every_series_of_a_step_has_the_labels_of_its_family() -> None:
    named = set()
    for step in STAGES:
        owner = "pictures" if step == "preprocess" else "detector"
        for metric in series_of_model(f"D_{step}"):
            assert {label for label, _ in metric.labels} == {owner, *FAMILIES[metric.name].labels}
            assert dict(metric.labels)[owner] == "D"
            named.add(metric.name)
    assert named == {name for name, family in FAMILIES.items() if not family.is_gauge}


def test_a_delivery_comes_at_once_and_then_not_before_the_interval_is_over() -> None:
    calls, called = [], threading.Event()

    def deliver() -> bool:
        calls.append(time.monotonic())
        called.set()
        return False

    delivery = Delivery(deliver, interval_s=0.2)
    delivery.ask()
    assert called.wait(10)
    while time.monotonic() < calls[0] + 0.5:
        delivery.ask()
        time.sleep(0.001)
    delivery.close()
    assert 2 <= len(calls) <= 5  # the last one when it was closed
    assert all(later - earlier > 0.19 for earlier, later in pairwise(calls[:-1]))


def test_closing_delivers_what_is_left_without_waiting() -> None:
    counts, delivered = Counts(), []
    delivery = Delivery(lambda: bool(delivered.append(counts.take())), interval_s=60)
    delivery.ask()
    counts.add(series(FACES_FOUND, detector="D"), 3)
    begin_s = time.monotonic()
    delivery.close()
    assert time.monotonic() - begin_s < 30
    assert sum(sum(taken.values()) for taken in delivered) == 3


def test_a_delivery_goes_on_as_long_as_it_wants_to() -> None:
    calls, ended = [], threading.Event()

    def deliver() -> bool:
        calls.append(None)
        if len(calls) == 3:
            ended.set()
        return len(calls) < 3

    delivery = Delivery(deliver, interval_s=0.01)
    delivery.ask()
    assert ended.wait(10)
    delivery.close()
    assert len(calls) == 4
