"""The ideal queue against what is known of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perf.queueing import ideal_tail


def test_hardly_any_load_means_no_waiting() -> None:
    assert ideal_tail(0.001, 2) == pytest.approx(1.0)


def test_waiting_grows_with_the_load_and_shrinks_with_servers() -> None:
    assert 1.0 < ideal_tail(0.3, 2) < ideal_tail(0.7, 2) < ideal_tail(0.7, 1)
    assert ideal_tail(0.7, 16) < ideal_tail(0.7, 2)


def waits_at_most(wait: float, share: float) -> float:
    """Probability in an M/D/1 queue, by Erlang's formula; the unit of time is one service."""
    terms = (
        (share * (k - wait)) ** k / math.factorial(k) * math.exp(-share * (k - wait)) for k in range(int(wait) + 1)
    )
    return (1 - share) * sum(terms)


def test_one_server_is_as_the_formula_says() -> None:
    waits = np.linspace(0, 12, 2401)
    median, p99 = np.interp([0.5, 0.99], [waits_at_most(wait, 0.7) for wait in waits], waits)
    assert ideal_tail(0.7, 1) == pytest.approx((1 + p99) / (1 + median), rel=0.05)
