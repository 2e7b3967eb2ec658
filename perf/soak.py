"""A long run: does the server's memory stay flat?"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perf import resources, sdk_caller
from perf.photos import photo
from perf.settings import IN_FLIGHT
from tritonface import create_model
from tritonface_server.server import TritonServer

MEGAPIXELS = (0.3, 1.0, 2.0)
LEGS = 20
SPAN = 5


def run(server: TritonServer, detector: str, requests: int, note: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Send so many requests, mixed sizes, both variants in turn; memory after each of 20 legs.

    Args:
        note: called with all that is known after each leg, so that an interrupted run leaves its figures.
    """
    with tempfile.TemporaryDirectory() as folder:
        images = [Path(folder, f"{megapixels}.jpg") for megapixels in MEGAPIXELS]
        for image, megapixels in zip(images, MEGAPIXELS):
            image.write_bytes(photo(megapixels))
        return _run(server, (detector, f"{detector}_hpi"), requests, note, images)


def _run(
    server: TritonServer,
    models: tuple[str, str],
    requests: int,
    note: Callable[[dict[str, Any]], None],
    images: list[Path],
) -> dict[str, Any]:
    per_leg, started = max(1, requests // LEGS), time.monotonic()
    legs: list[dict[str, float]] = []
    result: dict[str, Any] = {"wanted": requests, "legs": legs}
    for number in range(1, LEGS + 1):
        with create_model(models[number % 2], url=server.endpoints.grpc) as model:
            sdk_caller.detect_many(model, images, per_leg, IN_FLIGHT)
        legs.append(
            {
                "requests": number * per_leg,
                "seconds": time.monotonic() - started,
                "memory_mib": resources.memory_mib(server.process.pid),
                "shared_memory_mib": resources.shared_memory_mib(server.process.pid),
            }
        )
        result["growth"] = growth(legs)
        note(result)
    return result


def growth(legs: list[dict[str, float]]) -> float:
    """Memory at the end over memory at the beginning, 1 is flat: medians of the last five legs and of the first five.

    The first leg does not count: both variants have worked only after the second. What other processes share with
    the server changes its share of common pages, hence medians.
    """
    later = [leg["memory_mib"] for leg in legs[1:]] or [legs[0]["memory_mib"]]
    return statistics.median(later[-SPAN:]) / statistics.median(later[:SPAN])
