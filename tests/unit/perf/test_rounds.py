"""Contestants take turns, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from perf import rounds
from perf.contestants import Turn
from perf.rounds import take_turns
from perf.settings import Settings

SETTINGS = replace(Settings.short(), rounds=3)
NOBODY = {"images_per_s": {}, "latency_ms": {}}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "SETTLE_S", 0)


def test_nobody_takes_part() -> None:
    assert take_turns([], SETTINGS, print) == {"normal": NOBODY, "hpi": NOBODY}


def contest(calls: list[str]) -> list[Turn]:
    """One who is measured once for both variants, under two names, one for each figure, and one for both at once."""

    def noting(name: str, *kinds: str) -> Callable[[], dict[str, float]]:
        def measure() -> dict[str, float]:
            calls.append(name)
            return dict.fromkeys(kinds, float(len(calls)))

        return measure

    return [
        Turn({"normal": "a"}, noting("a alone", "latency_ms")),
        Turn({"normal": "a"}, noting("a many", "images_per_s")),
        Turn({"normal": "b", "hpi": "b as it comes"}, noting("b", "latency_ms", "images_per_s")),
    ]


def test_turns() -> None:
    calls: list[str] = []
    figures = take_turns(contest(calls), SETTINGS, print)
    assert calls == ["a alone", "a many", "b", "b", "a many", "a alone", "a alone", "a many", "b"]
    assert figures == {
        "normal": {"images_per_s": {"a": [2, 5, 8], "b": [3, 4, 9]}, "latency_ms": {"a": [1, 6, 7], "b": [3, 4, 9]}},
        "hpi": {"images_per_s": {"b as it comes": [3, 4, 9]}, "latency_ms": {"b as it comes": [3, 4, 9]}},
    }


def test_variants_that_are_not_wanted_are_left_out() -> None:
    assert list(take_turns(contest([]), replace(SETTINGS, variants=("hpi",)), print)) == ["hpi"]


@pytest.mark.parametrize(("rounds_s", "expected"), [(0.0, 2), (1e9, 3)])
def test_no_round_begins_for_which_there_is_no_time(rounds_s: float, expected: int) -> None:
    said: list[str] = []
    calls: list[str] = []
    take_turns(contest(calls), replace(SETTINGS, rounds_s=rounds_s), said.append)
    assert len(calls) == 3 * expected
    assert any("no time" in line for line in said) == (expected == 2)
