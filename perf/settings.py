"""How long and how often everything is measured: the full report and the quick one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

VARIANTS = ("normal", "hpi")
IN_FLIGHT = 8
"""Requests under way where the server shall be saturated."""
WATCHED = "BlazeFace"
"""The detector of the sections that look at one only: the fastest, where all that is not the network shows most."""
SETTLE_REQUESTS = 32
"""Requests before those that are measured: the copies of a network take some to suit one caller, or many."""
MEASURED = (WATCHED, "PP-YOLOE_plus-S_face")
"""Those of the report: that one and the one that finds most."""


@dataclass(frozen=True)
class Settings:
    """Durations and counts.

    Attributes:
        slot_s: seconds of one measurement in the interleaved rounds.
        window_s: seconds of one of perf_analyzer's three windows.
        latency_window_s: the same for the p99 under open load.
        concurrencies, few_concurrencies: as many as the queues of a server on two CPUs hold; perf_analyzer takes a
            refusal for a failure.
        many: requests under way that are far more than that; the SDK repeats what is refused.
        growth_slot_s: seconds of one point of a growth table.
        locust_s: seconds of the run with locust.
    """

    detectors: tuple[str, ...]
    variants: tuple[str, ...] = VARIANTS
    rounds: int = 4
    slot_s: float = 2.0
    window_s: float = 1.2
    latency_window_s: float = 4.0
    concurrencies: tuple[int, ...] = (1, 2, 4, 8, 16)
    few_concurrencies: tuple[int, ...] = (2, 4, 8, 16)
    many: int = 64
    megapixels: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0)
    faces: tuple[int, ...] = (0, 1, 10, 50, 100, 200, 400, 550, 700, 900)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    growth_slot_s: float = 2.0
    function_rounds: int = 5
    locust_s: int = 40
    step_requests: int = 120
    quick: bool = False

    @classmethod
    def full(cls, detectors: tuple[str, ...] = ()) -> Settings:
        """The report: about 25 minutes on two cores."""
        names = detectors or MEASURED
        return cls(names, rounds=4 if len(names) <= 2 else 3)

    @classmethod
    def short(cls, detectors: tuple[str, ...] = ()) -> Settings:
        """A look: about 4 minutes, one detector, figures too noisy to be quoted."""
        return cls(
            detectors or (WATCHED,),
            rounds=2,
            slot_s=0.8,
            window_s=0.5,
            latency_window_s=1.2,
            concurrencies=(1, 2, 8, 16),
            few_concurrencies=(4, 8),
            megapixels=(0.1, 1.0, 4.0, 24.0),
            faces=(0, 50, 400, 900),
            batches=(1, 8, 32),
            growth_slot_s=0.5,
            function_rounds=2,
            locust_s=10,
            step_requests=20,
            quick=True,
        )

    def as_dict(self) -> dict[str, Any]:
        """For the raw files."""
        return asdict(self)
