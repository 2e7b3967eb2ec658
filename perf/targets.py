"""What the figures must be: the targets of the project, and the budgets that `make bench` insists on."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import Any

from perf.growth import TOLERANCE

PADDLEX_FACTOR = {"normal": 1.5, "hpi": 3.0}
HIGH_STABILITY_FACTOR = {"normal": 1.3, "hpi": 3.0}
LEAST_SHARE_OF_IN_PROCESS = 0.92
LEAST_SHARE_OF_SDK = 0.95
MOST_TIMES_IN_PROCESS = 1.08
MOST_OVERHEAD_MS = 2.5
MOST_TAIL = 2.5
LEAST_AT_64 = 0.95
MOST_PREPROCESS_MS = 2.0
MOST_NMS_MS = {"1000": 1.5, "5000": 8.0}
MOST_BATCH_COST = 1.1
MOST_MEMORY_GROWTH = 1.03
LEAST_GPU_FRACTION = 0.6

BUDGET_THROUGHPUT = 0.80
"""Served over in-process throughput must not fall below this; see `budgets`."""
BUDGET_LATENCY = 1.35
"""Served over in-process latency, one request at a time, must not exceed this."""


@dataclass(frozen=True)
class Check:
    """One figure against its limit.

    Attributes:
        figure: None if it was not measured.
        limit: the least or, with `at_most`, the largest figure allowed.
        spread: smallest and largest figure of the rounds.
        bound: what a server that costs nothing would have: for a throughput the in-process loop in its place, for a
            tail of latencies an ideal queue; for the p50 of one request, what steps that cost nothing would have.
    """

    subject: str
    name: str
    figure: float | None
    limit: float
    at_most: bool = False
    unit: str = "x"
    spread: tuple[float, float] | None = None
    bound: float | None = None

    @property
    def met(self) -> bool | None:
        """None if there is no figure."""
        if self.figure is None:
            return None
        return self.figure <= self.limit if self.at_most else self.figure >= self.limit

    @property
    def beyond_reach(self) -> bool:
        """Whether its bound misses the limit, too."""
        return replace(self, figure=self.bound).met is False


def ratios(figures: dict[str, list[float]], over: str, under: str, least: bool = False) -> list[float]:
    """Round by round, the figure of `over` divided by that of `under`; [] if one is missing.

    Where a contestant comes in several settings, `name: setting`, the one with the best median counts: the largest or,
    with `least`, the smallest.
    """
    numerator, denominator = best(figures, over, least), best(figures, under, least)
    if numerator is None or denominator is None:
        return []
    return [a / b for a, b in zip(figures[numerator], figures[denominator])]


def best(figures: dict[str, list[float]], name: str, least: bool = False) -> str | None:
    """The contestant called `name`, or else the one with the largest (`least`) median of those called `name: ...`."""
    if name in figures:
        return name
    names = [key for key in figures if key.startswith(f"{name}: ")]
    choose = min if least else max
    return choose(names, key=lambda key: statistics.median(figures[key]), default=None)


def evaluate(results: dict[str, Any]) -> list[Check]:
    """All targets, in the order of the report; what was not measured has no figure."""
    shared, single = by_subject(results)
    return [check for group in (*shared, single) for check in group]


def by_subject(results: dict[str, Any]) -> tuple[list[list[Check]], list[Check]]:
    """The targets that all detectors and variants share, those of the peers and of the sweep; and the others."""
    shared = [
        [
            check
            for detector, variants in results.get(section, {}).items()
            for variant, figures in variants.items()
            for check in checks_of(detector, variant, figures)
        ]
        for section, checks_of in (("peers", peer_checks), ("sweep", sweep_checks))
    ]
    single = function_checks(results.get("functions"))
    for cause, figure in results.get("growth", {}).get("steepening", {}).items():
        single.append(
            Check("growth", f"with {cause}: slope over all / slope over the lower half", figure, TOLERANCE, True)
        )
    memory = results.get("soak", {}).get("growth")
    requests = f"{results['soak']['legs'][-1]['requests']:,}" if memory else "20,000"
    single.append(
        Check("server", f"memory after {requests} requests / at their beginning", memory, MOST_MEMORY_GROWTH, True)
    )
    for variant, figure in results.get("gpu", {}).get("fraction", {"normal": None, "hpi": None}).items():
        single.append(Check(f"GPU, {variant}", "served / bare engine", figure, LEAST_GPU_FRACTION))
    return [group for group in shared if group], single


def peer_checks(detector: str, variant: str, figures: dict[str, dict[str, list[float]]]) -> list[Check]:
    """The targets of one detector and variant against all peers."""
    subject, rates, times = f"{detector}, {variant}", figures["images_per_s"], figures["latency_ms"]
    rival = "high stability" if variant == "normal" else "high stability (normal)"
    bare_ms = times.get(best(times, "in process", least=True) or "", [])
    overheads_ms = [a - b for a, b in zip(times["served"], bare_ms)]
    wanted = [
        ("throughput: served / in process", "served", "in process", LEAST_SHARE_OF_IN_PROCESS),
        ("throughput: served / PaddleX's predict", "served", "PaddleX", PADDLEX_FACTOR[variant]),
        ("throughput: served / high-stability service", "served", rival, HIGH_STABILITY_FACTOR[variant]),
        ("throughput: one caller of the SDK / perf_analyzer", "SDK", "served", LEAST_SHARE_OF_SDK),
        ("throughput: served / client-side steps", "served", "client side", 1.0),
    ]
    checks = []
    for name, over, under, limit in wanted:
        check = of_rounds(subject, name, ratios(rates, over, under), limit)
        bare = ratios(rates, "in process", under) if over == "served" and under != "in process" else []
        checks.append(replace(check, bound=median(bare)))
    alone_ms = times.get("Triton alone", [])
    at_best = [(bare + alone) / bare for bare, alone in zip(bare_ms, alone_ms)]
    times_bare = ratios(times, "served", "in process", least=True)
    slower = of_rounds(subject, "p50: served / in process", times_bare, MOST_TIMES_IN_PROCESS, at_most=True)
    more = of_rounds(subject, "p50: served - in process", overheads_ms, MOST_OVERHEAD_MS, at_most=True, unit="ms")
    return [replace(slower, bound=median(at_best)), replace(more, bound=median(alone_ms)), *checks]


def sweep_checks(detector: str, variant: str, figures: dict[str, Any]) -> list[Check]:
    """p99 under open load, and throughput when far more requests come than help."""
    subject, checks = f"{detector}, {variant}", []
    for distribution, words in (("constant", "evenly spaced"), ("poisson", "Poisson")):
        rows = [row for row in figures.get(distribution, []) if row["share"] == 0.7]
        tail = rows[0]["p99_ms"] / rows[0]["p50_ms"] if rows else None
        bound = rows[0].get("ideal_tail") if rows else None
        name = f"p99 / p50 at 70 % of saturation, {words}"
        checks.append(Check(subject, name, tail, MOST_TAIL, at_most=True, bound=bound))
    at_64 = of_rounds(subject, "throughput: concurrency 64 / best concurrency", figures.get("at_64", []), LEAST_AT_64)
    return [*checks, at_64]


def function_checks(figures: dict[str, Any] | None) -> list[Check]:
    """The micro-benchmarks; of the layouts the worst counts."""
    figures = figures or {}
    checks = [
        Check("functions", "preprocess without decoding", figures.get("preprocess"), MOST_PREPROCESS_MS, True, "ms")
    ]
    for count, limit in MOST_NMS_MS.items():
        for layout, by_count in figures.get("nms", {"any layout": {}}).items():
            checks.append(
                Check("functions", f"NMS of {count} candidates, {layout}", by_count.get(count), limit, True, "ms")
            )
    batch = figures.get("batch", {})
    per_image = [batch[count] / int(count) for count in batch]
    cost = per_image[-1] / per_image[0] if per_image else None
    checks.append(Check("functions", "cost per image: 32 images / 1 image", cost, MOST_BATCH_COST, True))
    return checks


def of_rounds(
    subject: str, name: str, values: list[float], limit: float, at_most: bool = False, unit: str = "x"
) -> Check:
    """The median of the rounds against a limit."""
    if not values:
        return Check(subject, name, None, limit, at_most, unit)
    return Check(subject, name, statistics.median(values), limit, at_most, unit, (min(values), max(values)))


def median(values: list[float] | None) -> float | None:
    """None where there is nothing."""
    return statistics.median(values) if values else None


def budgets(results: dict[str, Any]) -> list[Check]:
    """The regression guard: the served path against the in-process loop in the same rounds, with room for noise."""
    checks = []
    for detector, variants in results.get("peers", {}).items():
        for variant, figures in variants.items():
            subject = f"{detector}, {variant}"
            rates = ratios(figures["images_per_s"], "served", "in process")
            times = ratios(figures["latency_ms"], "served", "in process", least=True)
            checks.append(of_rounds(subject, "throughput: served / in process", rates, BUDGET_THROUGHPUT))
            checks.append(of_rounds(subject, "p50: served / in process", times, BUDGET_LATENCY, at_most=True))
    return checks
