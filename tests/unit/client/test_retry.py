"""Repetition: of what, how often, and until when. The pauses are recorded instead of slept."""

from __future__ import annotations

import asyncio

import pytest

from tritonface import DeadlineExceededError, ImageError, ServerError, ServerUnavailableError
from tritonface._errors import ModelProcessError
from tritonface._retry import with_retries


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """[the time, then every pause]; time passes only in pauses."""
    times = [0.0]

    async def sleep(seconds: float) -> None:
        times[0] += seconds
        times.append(seconds)

    monkeypatch.setattr("tritonface._retry.asyncio.sleep", sleep)
    monkeypatch.setattr("tritonface._retry.time.monotonic", lambda: times[0])
    return times


def run(outcomes: list[object], timeout_s: float = 30, retries: int | None = None) -> object:
    """What `with_retries` makes of attempts with these outcomes, the last one for ever."""

    async def attempt(seconds_left: float) -> object:
        assert 0 < seconds_left <= timeout_s
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return asyncio.run(with_retries(attempt, timeout_s, retries))


DOWN = ServerUnavailableError("down")


def test_no_failure_no_repetition(clock: list[float]) -> None:
    assert run(["answer"]) == "answer" and clock == [0]


def test_pauses_grow_up_to_two_seconds_and_are_random(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    monkeypatch.setattr("tritonface._retry.random.uniform", lambda low, high: limits.append((low, high)) or high)
    assert run([*[DOWN] * 7, "answer"]) == "answer"
    assert limits == [(0, pytest.approx(high)) for high in (0.2, 0.4, 0.8, 1.6, 2, 2, 2)]
    assert clock[1:] == [high for _, high in limits]


def test_until_the_deadline(clock: list[float]) -> None:
    with pytest.raises(ServerUnavailableError, match=r"down \[\d+ attempts in \d+\.\d s\]"):
        run([DOWN], timeout_s=10)
    assert 8 <= clock[0] <= 10


def test_thousands_of_repetitions_without_a_pause(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonface._retry.random.uniform", lambda low, high: low)
    with pytest.raises(ServerUnavailableError, match=r"down \[1101 attempts in 0\.0 s\]"):
        run([DOWN], retries=1100)
    assert clock == [0] * 1101


def test_the_cause_of_the_last_attempt_stays(clock: list[float]) -> None:
    down, cause = ServerUnavailableError("down"), OSError("refused")
    down.__cause__ = cause
    with pytest.raises(ServerUnavailableError, match="attempts") as caught:
        run([down], retries=1)
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_a_number_of_repetitions(clock: list[float], retries: int) -> None:
    with pytest.raises(ServerUnavailableError):
        run([DOWN], retries=retries)
    assert len(clock) - 1 == retries


def test_the_last_attempt_comes_too_late(clock: list[float]) -> None:
    with pytest.raises(DeadlineExceededError, match=r"late \[attempt 3; before it: down\]"):
        run([DOWN, DOWN, DeadlineExceededError("late")])


@pytest.mark.fault("C3")
def test_a_process_that_dies_under_the_call_again_and_again(clock: list[float]) -> None:
    died = ModelProcessError("died")
    assert run([died, DOWN, died, "answer"]) == "answer"
    clock[:] = clock[:1]
    with pytest.raises(ModelProcessError, match=r"died \[4 attempts in"):
        run([died, DOWN, died, died, "answer"])


@pytest.mark.parametrize("error", [ImageError("bad"), ServerError("no"), DeadlineExceededError("late")])
def test_nothing_else_is_repeated(clock: list[float], error: Exception) -> None:
    with pytest.raises(type(error)):
        run([error, "answer"])
    assert clock == [0]
