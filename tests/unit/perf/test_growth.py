"""Does a cost grow faster than its cause?"""

from __future__ import annotations

import pytest

from perf.growth import steepening
from perf.soak import growth


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([(1, 5.0), (2, 6.0)], 1.0),
        ([(0, 5.0), (1, 6.0), (2, 7.0), (4, 9.0)], 1.0),
        ([(0, 0.0), (1, 1.0), (2, 4.0), (4, 16.0)], 2.0),
        ([(0, 0.0), (1, 4.0), (2, 6.0), (4, 6.0)], 0.5),
        ([(0, 5.0), (2, 4.0), (4, 9.0)], 1.0),
        ([(0, 5.0), (2, 6.0), (4, 4.0)], 0.0),
        ([(0, 5.0), (0, 6.0), (0, 7.0)], 1.0),
    ],
    ids=["no middle", "line", "square", "saturates", "falls first", "falls", "one cause"],
)
def test_steepening(costs: list[tuple[float, float]], expected: float) -> None:
    points = [{"cause": cause, "cost": cost} for cause, cost in costs]
    assert steepening(points, "cause", "cost") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("memory_mib", "expected"),
    [
        ([100.0], 1.0),
        ([100.0, 200.0], 1.0),
        ([100.0, *[200.0] * 10, *[210.0] * 9], 1.05),
        ([100.0, *[200.0] * 18, 999.0], 1.0),
    ],
)
def test_memory_at_the_end_over_the_beginning_without_the_first_leg(memory_mib: list[float], expected: float) -> None:
    assert growth([{"memory_mib": memory} for memory in memory_mib]) == expected
