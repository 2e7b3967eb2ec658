"""Who is ahead: what is served against each of its peers, in p50 of one request and in throughput of eight."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from perf.settings import RATE, TIME
from perf.targets import ratios

RIVALS = {
    "in process": "in process",
    "client side": "client side",
    "high stability": "high stability",
    "high stability (normal)": "high stability, as it comes",
    "PaddleX: as it comes": "PaddleX, as it comes",
    "PaddleX": "PaddleX, at best",
}
"""The rivals' names in the raw figures, and in tables. Of "in process" and "PaddleX" the best setting counts."""


@dataclass(frozen=True)
class Standing:
    """What is served against one rival; above 1 it is ahead, None was not measured.

    Attributes:
        latency: the rival's p50 of one request over that of what is served.
        throughput: that of what is served over the rival's, eight requests under way.
    """

    detector: str
    variant: str
    rival: str
    latency: float | None
    throughput: float | None

    @property
    def losses(self) -> int:
        """In how many of the two it is behind."""
        return sum(ratio is not None and ratio < 1 for ratio in (self.latency, self.throughput))


def standings(peers: dict[str, Any]) -> list[Standing]:
    """Medians of the ratios within rounds, for each detector, variant and rival."""
    found = []
    for detector, variants in peers.items():
        for variant, figures in variants.items():
            for rival in RIVALS:
                latency = _median(ratios(figures[TIME], rival, "served", least=True))
                throughput = _median(ratios(figures[RATE], "served", rival))
                found.append(Standing(detector, variant, rival, latency, throughput))
    return found


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
