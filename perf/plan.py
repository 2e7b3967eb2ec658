"""What a run measures, unit by unit, and how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from perf.settings import Settings

SECTIONS = ("peers", "cpus", "sweep", "steps", "functions", "growth", "locust", "gpu", "soak")
EACH = ("peers", "steps")
"""Sections that look at every detector, and `EXAMINED_ONLY` those that look at two; the others look at one."""
EXAMINED_ONLY = ("cpus", "sweep")
EXPECTED_S = {
    "peers": (245, 110),
    "cpus": (80, 25),
    "sweep": (150, 35),
    "steps": (27, 12),
    "functions": (20, 10),
    "growth": (60, 20),
    "locust": (40, 20),
    "gpu": (1, 1),
    "soak": (600, 600),
}
"""Seconds of one unit on two quiet cores, of the full report and of the quick one; the pace of a run corrects them."""


@dataclass(frozen=True)
class Unit:
    """What is measured, stored, repeated and lost as a whole: a section, or its part for one detector."""

    section: str
    detector: str | None = None

    @property
    def file_name(self) -> str:
        """Of its raw figures, without suffix."""
        return "-".join(filter(None, (self.section, self.detector)))

    def __str__(self) -> str:
        return " ".join(filter(None, (self.section, self.detector)))


def units(sections: Iterable[str], settings: Settings) -> list[Unit]:
    """The units of these sections, in their order."""
    found = []
    for section in sections:
        names: tuple[str | None, ...] = (None,)
        if section in EACH:
            names = settings.detectors
        elif section in EXAMINED_ONLY:
            names = settings.examined
        found += [Unit(section, name) for name in names]
    return found


def expected(todo: Iterable[Unit], quick: bool) -> list[tuple[Unit, float]]:
    """These units and how many seconds each should take."""
    return [(unit, EXPECTED_S[unit.section][quick]) for unit in todo]


class Progress:
    """Says how far a run is, and when it will end if the rest goes at its pace.

    Args:
        todo: the units and their expected seconds.
        clock: in seconds.
    """

    def __init__(self, todo: Sequence[tuple[Unit, float]], clock: Callable[[], float] = time.monotonic) -> None:
        self._units, self._expected_s = [unit for unit, _ in todo], [seconds for _, seconds in todo]
        self._clock, self._started, self._done = clock, clock(), 0

    def next_line(self) -> str:
        """About the unit that begins now."""
        spent_s, behind_s = self._clock() - self._started, sum(self._expected_s[: self._done])
        pace = spent_s / behind_s if behind_s else 1.0
        left_s = pace * sum(self._expected_s[self._done :])
        end = time.strftime("%H:%M", time.localtime(time.time() + left_s))
        self._done += 1
        return (
            f"[{self._done} of {len(self._units)}] {self._units[self._done - 1]}; "
            f"{spent_s / 60:.0f} minutes gone, about {left_s / 60:.0f} to go, until {end}"
        )
