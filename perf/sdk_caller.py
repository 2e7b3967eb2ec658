"""One caller of the SDK who keeps so many requests under way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from perf.settings import IN_FLIGHT, SETTLE_REQUESTS
from tritonface import FaceDetector

MANY = 100_000


def detect_many(model: FaceDetector, images: Sequence[Path], count: int, in_flight: int) -> None:
    """Send `count` requests, the images in turn; the first failure is raised."""
    for _ in model.predict([images[i % len(images)] for i in range(count)], batch_size=in_flight):
        pass


def job_s(model: FaceDetector, image: Path, count: int, in_flight: int) -> float:
    """Seconds that so many requests take, from the first to the last answer."""
    start_s = time.perf_counter()
    detect_many(model, [image], count, in_flight)
    return time.perf_counter() - start_s


def images_per_s(
    model: FaceDetector,
    image: Path,
    slot_s: float,
    in_flight: int = IN_FLIGHT,
    settle_requests: int = SETTLE_REQUESTS,
) -> float:
    """Results per second of one endless `predict`, after some that do not count."""
    results = model.predict([image] * MANY, batch_size=in_flight)
    try:
        for _ in range(max(in_flight, settle_requests)):
            next(results)
        start_s, count = time.perf_counter(), 0
        while time.perf_counter() - start_s < slot_s:
            next(results)
            count += 1
        return count / (time.perf_counter() - start_s)
    finally:
        results.close()
