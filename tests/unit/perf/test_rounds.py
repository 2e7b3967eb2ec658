"""Contestants take turns, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perf import rounds
from perf.rounds import Contest, take_turns


def test_nobody_takes_part() -> None:
    assert take_turns(Contest({}, {}), 2) == {"images_per_s": {}, "latency_ms": {}}


def test_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "SETTLE_S", 0)
    calls: list[str] = []

    def noting(name: str) -> Callable[[], float]:
        return lambda: float(calls.append(name) or len(calls))

    figures = take_turns(Contest({"a": noting("a"), "b": noting("b")}, {"x": noting("x")}), 3)
    assert calls == ["x", "a", "b", "x", "b", "a", "x", "a", "b"]
    assert figures == {"images_per_s": {"a": [2, 6, 8], "b": [3, 5, 9]}, "latency_ms": {"x": [1, 4, 7]}}
