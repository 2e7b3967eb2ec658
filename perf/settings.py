"""How long and how often everything is measured: the full report and the quick one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from training.detectors import DETECTORS

VARIANTS = ("normal", "hpi")
RATE, TIME = "images_per_s", "latency_ms"
"""The two figures of a contestant: throughput, and median latency of one request at a time."""
IN_FLIGHT = 8
"""Requests under way where the server shall be saturated."""
WATCHED = "BlazeFace"
"""The detector of the sections that look at one only: the fastest, where all that is not the network shows most."""
EXAMINED = (WATCHED, "PP-YOLOE_plus-S_face")
"""Those of the sections that take minutes for each: that one and the one that finds most."""
SETTLE_REQUESTS = 48
"""Requests before those that are measured: a network takes 8 to suit one caller, or many, and twice as many with each
change that did not last, up to 32 in a round; see `tritonface_server.patience`."""


@dataclass(frozen=True)
class Settings:
    """Durations and counts.

    Attributes:
        rounds: of the peers, at most; at least two, unless this is one.
        rounds_s: seconds after which no further round of a detector begins.
        slot_s: seconds of one measurement in the interleaved rounds.
        window_s: seconds of one of perf_analyzer's three windows.
        least_requests: a slot or a saturated window lasts longer where it would hold fewer requests of a lone caller.
        settle_requests: before a measurement with perf_analyzer, the SDK or the client side.
        cpus: numbers of CPUs, fewer than the machine's, to which everything is confined in turn.
        latency_window_s: like `window_s` for the p99 under open load.
        concurrencies, few_concurrencies: as many as the queues of a server on two CPUs hold; perf_analyzer takes a
            refusal for a failure.
        many: requests under way that are far more than that; the SDK repeats what is refused.
        many_pairs: how often these are compared with the best number.
        growth_slot_s: seconds of one point of a growth table.
        locust_s: seconds of the run with locust.
        locust_users: how many there are at its end.
        step_s: seconds of each measurement of the steps.
    """

    detectors: tuple[str, ...] = tuple(DETECTORS)
    variants: tuple[str, ...] = VARIANTS
    rounds: int = 3
    rounds_s: float = 270.0
    slot_s: float = 1.8
    window_s: float = 1.0
    least_requests: int = 18
    settle_requests: int = SETTLE_REQUESTS
    cpus: tuple[int, ...] = (1, 2, 4)
    cpus_rounds: int = 2
    latency_window_s: float = 3.5
    concurrencies: tuple[int, ...] = (1, 2, 4, 8, 16)
    few_concurrencies: tuple[int, ...] = (4, 8, 16)
    many: int = 64
    many_pairs: int = 2
    megapixels: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0)
    faces: tuple[int, ...] = (0, 1, 10, 50, 100, 200, 400, 550, 700, 900)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    growth_slot_s: float = 1.5
    function_rounds: int = 4
    locust_s: int = 30
    locust_users: int = 12
    step_s: float = 3.0
    quick: bool = False

    @classmethod
    def full(cls, detectors: tuple[str, ...] = ()) -> Settings:
        """The report: some 28 minutes for four detectors on two cores, of which `peers` and `cpus` took 18."""
        return cls(detectors or tuple(DETECTORS))

    @classmethod
    def short(cls, detectors: tuple[str, ...] = ()) -> Settings:
        """A look: one detector, figures too noisy to be quoted."""
        return cls(
            detectors or (WATCHED,),
            rounds=2,
            rounds_s=60.0,
            slot_s=0.6,
            window_s=0.4,
            least_requests=6,
            cpus=(1,),
            cpus_rounds=1,
            latency_window_s=1.2,
            concurrencies=(1, 8, 16),
            few_concurrencies=(8,),
            many_pairs=1,
            megapixels=(0.1, 1.0, 4.0, 24.0),
            faces=(0, 50, 400, 900),
            batches=(1, 8, 32),
            growth_slot_s=0.4,
            function_rounds=2,
            locust_s=10,
            step_s=0.6,
            quick=True,
        )

    @property
    def watched(self) -> str:
        """The one of the detectors that stands for all where one is enough."""
        return WATCHED if WATCHED in self.detectors else self.detectors[0]

    @property
    def examined(self) -> tuple[str, ...]:
        """Those of the detectors that the longer sections look at."""
        return tuple(name for name in self.detectors if name in EXAMINED) or self.detectors[:1]

    def as_dict(self) -> dict[str, Any]:
        """For the raw files."""
        return asdict(self)
