"""Pauses before what has died is started anew."""

from __future__ import annotations

from tritonface_server.backoff import MAX_FAILURES, STABLE_S, Backoff


def test_what_never_starts_is_given_up() -> None:
    backoff = Backoff()
    assert [backoff.failed(0) for _ in range(MAX_FAILURES)] == [0, 1, 2, 4, None]


def test_what_dies_soon_after_each_start_too() -> None:
    backoff, delays = Backoff(), []
    for i in range(MAX_FAILURES):
        backoff.started(100.0 * i)
        delays.append(backoff.failed(100.0 * i + STABLE_S / 2))
    assert delays == [0, 1, 2, 4, None]


def test_a_server_that_clients_end_again_and_again_is_not_given_up() -> None:
    backoff, delays = Backoff(endless=True), []
    for i in range(2 * MAX_FAILURES):
        backoff.started(100.0 * i)
        delays.append(backoff.failed(100.0 * i + STABLE_S / 2))
    assert delays == [0, 1, 2] + [4] * 7
    assert backoff.failed(0) is None  # this time it has not even started


def test_what_has_run_for_a_while_starts_afresh() -> None:
    backoff, now_s = Backoff(), 0.0
    for _ in range(3 * MAX_FAILURES):
        backoff.started(now_s)
        now_s += STABLE_S
        assert backoff.failed(now_s) == 0


def test_pauses_are_bounded() -> None:
    backoff = Backoff(failures=0)
    assert max(backoff.failed(0) or 0 for _ in range(MAX_FAILURES)) <= 4
