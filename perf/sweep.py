"""Throughput and latency against concurrency, and against request rates that do not wait: perf_analyzer's part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from perf import perf_analyzer
from perf.machine import cores
from perf.photos import TYPICAL_MEGAPIXELS, photo
from perf.queueing import ideal_tail
from perf.sdk_caller import detect_many, job_s
from perf.settings import Settings
from tritonface import create_model
from tritonface_server.server import TritonServer

HTTP_CONCURRENCIES = (1, 8, 16)
MIXED_MEGAPIXELS = (0.3, 1.0, 2.0)
SHARES = (0.7, 0.9)
TARGET_SHARE = 0.7
WINDOWS_PER_LATENCY = 1.0
"""A window lasts so many times the latency that is to be expected; shorter ones would catch few whole requests."""

JOB = 2
"""So many times the number under way are the images of a job."""


def measure(server: TritonServer, name: str, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """`{detector: {variant: {"grpc", "http", "mixed", "constant", "poisson": [measurement], "at_64": [ratio]}}}`."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tritonface-bench-") as folder:
        typical = perf_analyzer.write_input("image", [photo(TYPICAL_MEGAPIXELS)], Path(folder, "typical.json"))
        mixed = perf_analyzer.write_input("image", [photo(mp) for mp in MIXED_MEGAPIXELS], Path(folder, "mixed.json"))
        for variant in settings.variants:
            say(f"{name} {variant}")
            model = name if variant == "normal" else f"{name}_hpi"
            results[variant] = _one(server, model, name == settings.watched, settings, typical, mixed)
    return {name: results}


def _one(
    server: TritonServer, model: str, thorough: bool, settings: Settings, typical: Path, mixed: Path
) -> dict[str, list[Any]]:
    urls = {"grpc": server.endpoints.grpc, "http": server.endpoints.http}
    saturation = 0.0

    def closed(concurrency: int, protocol: str = "grpc", file: Path = typical) -> dict[str, float]:
        expected_s = concurrency / saturation if saturation else 0.0
        window_s = min(max(settings.window_s, expected_s * WINDOWS_PER_LATENCY), perf_analyzer.MOST_WINDOW_S)
        found = perf_analyzer.measure(
            model,
            urls[protocol],
            file,
            protocol=protocol,
            concurrency=concurrency,
            window_s=window_s,
            settle_requests=settings.settle_requests,
        )
        return asdict(found)

    def open_loop(share: float, distribution: str) -> dict[str, float]:
        found = perf_analyzer.measure(
            model,
            urls["grpc"],
            typical,
            rate=share * saturation,
            distribution=distribution,
            window_s=settings.latency_window_s,
        )
        return {"share": share, **asdict(found)}

    figures: dict[str, list[Any]] = {"grpc": []}
    for concurrency in settings.concurrencies if thorough else settings.few_concurrencies:
        figures["grpc"].append(closed(concurrency))
        saturation = max(row["images_per_s"] for row in figures["grpc"])
    best = int(max(figures["grpc"], key=lambda row: row["images_per_s"])["load"])
    figures["at_64"] = ratios_of_many(server, model, best, settings)
    shares = SHARES if thorough and not settings.quick else (TARGET_SHARE,)
    figures["constant"] = [open_loop(share, "constant") for share in shares]
    figures["poisson"] = [{**open_loop(TARGET_SHARE, "poisson"), "ideal_tail": ideal_tail(TARGET_SHARE, cores())}]
    if thorough:
        figures["http"] = [closed(count, "http") for count in HTTP_CONCURRENCIES if count in settings.concurrencies]
        figures["mixed"] = [closed(8, file=mixed)]
    return figures


def ratios_of_many(server: TritonServer, model: str, best: int, settings: Settings) -> list[float]:
    """The SDK's images per second with far more under way than help, over those with the best number just after it.

    Each time a job of its own, to its end: results come in order, so one image that the server has refused for a while
    holds up many that are done, and results within a time would not tell how fast it is.
    """
    count = JOB * settings.many
    with tempfile.TemporaryDirectory(prefix="tritonface-bench-") as folder:
        image = Path(folder, "typical.jpg")
        image.write_bytes(photo(TYPICAL_MEGAPIXELS))
        name, is_hpi = model.removesuffix("_hpi"), model.endswith("_hpi")
        with create_model(name, use_hpip=is_hpi, url=server.endpoints.grpc) as detector:
            detect_many(detector, [image], settings.settle_requests, best)
            durations_s = [
                [job_s(detector, image, count, in_flight) for in_flight in (settings.many, best)]
                for _ in range(settings.many_pairs)
            ]
    return [fewer_s / many_s for many_s, fewer_s in durations_s]
