"""When a network's process changes its form: after a few images, but not again and again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tritonface_server import patience
from tritonface_server.patience import FEWEST, LASTING_S, MOST, Patience


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    times = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: times[0])
    yield times


def images_until_change(patience: Patience) -> int:
    count = 1
    while not patience.ends(suits=False):
        count += 1
    patience.changed()
    return count


def test_never_where_the_form_suits() -> None:
    patience = Patience()
    assert not any(patience.ends(suits=True) for _ in range(2 * MOST))


def test_images_have_to_follow_each_other(clock: list[float]) -> None:
    patience = Patience()
    for _ in range(10):
        assert not any(patience.ends(suits=False) for _ in range(FEWEST - 1))
        assert not patience.ends(suits=True)
    assert images_until_change(patience) == FEWEST


def test_twice_as_many_each_time_that_it_did_not_last(clock: list[float]) -> None:
    patience = Patience()
    assert [images_until_change(patience) for _ in range(4)] == [FEWEST, 2 * FEWEST, 4 * FEWEST, 8 * FEWEST]
    assert [images_until_change(patience) for _ in range(20)][-3:] == [MOST] * 3


def test_as_at_first_after_one_that_lasted(clock: list[float]) -> None:
    patience = Patience()
    for _ in range(5):
        images_until_change(patience)
    clock[0] += LASTING_S
    images_until_change(patience)
    assert images_until_change(patience) == FEWEST


def test_as_at_first_after_a_pause(clock: list[float]) -> None:
    patience = Patience()
    for _ in range(5):
        images_until_change(patience)
    patience.ends(suits=False)
    patience.rest()
    assert images_until_change(patience) == FEWEST
