"""How cost grows: with the size of an image, the faces in it, and the images of a request."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tritonclient import grpc

from perf.peers import in_process
from perf.photos import crowd, photo
from perf.settings import Settings
from perf.workers import repeat
from tritonface import create_model
from tritonface_server.images import decode_image

CROWD_THRESHOLD = 0.2
"""Low enough that small copies of one face are found among hundreds."""

BATCH_MEGAPIXELS = 1.5
TOLERANCE = 1.25
"""How much steeper than its lower half's slope a cost may become before it counts as growing faster than its cause."""

Point = dict[str, float]


def image_sizes(url: str, detector_name: str, settings: Settings) -> list[Point]:
    """One request at a time, photos of 0.1 to 24 megapixels: served, in process, and decoding alone, in ms."""
    cv2.setNumThreads(1)
    detector = in_process.open_detector(detector_name, "normal", 1)
    points = []
    with create_model(detector_name, url=url) as model, tempfile.TemporaryDirectory() as folder:
        for megapixels in settings.megapixels:
            encoded, image = photo(megapixels), Path(folder, "photo.jpg")
            image.write_bytes(encoded)
            calls = {
                "served_ms": lambda: next(model.predict(image)),  # noqa: B023
                "in_process_ms": lambda: detector(encoded),  # noqa: B023
                "decode_ms": lambda: decode_image(encoded),  # noqa: B023
            }
            points.append({"megapixels": megapixels, "kilobytes": len(encoded) / 1e3, **_medians(calls, settings)})
    return points


def faces(url: str, detector_name: str, settings: Settings) -> list[Point]:
    """One request at a time, crowds of one size in pixels: served and in process, in ms, by faces found."""
    detector = in_process.open_detector(detector_name, "normal", 1)
    points = []
    with (
        create_model(detector_name, url=url, threshold=CROWD_THRESHOLD) as model,
        tempfile.TemporaryDirectory() as folder,
    ):
        for placed in settings.faces:
            encoded, image = crowd(placed), Path(folder, "crowd.jpg")
            image.write_bytes(encoded)
            found = len(next(model.predict(image)))
            calls = {
                "served_ms": lambda: next(model.predict(image)),  # noqa: B023
                "in_process_ms": lambda: detector(encoded, CROWD_THRESHOLD),  # noqa: B023
                "decode_ms": lambda: decode_image(encoded),  # noqa: B023
            }
            points.append({"faces": found, "placed": placed, **_medians(calls, settings)})
    return sorted(points, key=lambda point: point["faces"])


def batches(url: str, detector_name: str, settings: Settings) -> list[Point]:
    """One request at a time with 1 to 32 images, which the SDK does not send: ms of the request and of each image."""
    encoded = photo(BATCH_MEGAPIXELS)
    points = []
    with grpc.InferenceServerClient(url) as client:
        for count in settings.batches:
            images = grpc.InferInput("image", [count, 1], "BYTES")
            images.set_data_from_numpy(np.array([[encoded]] * count, object))
            milliseconds = _medians({"served_ms": lambda: client.infer(detector_name, [images])}, settings)  # noqa: B023
            per_image = milliseconds["served_ms"] / count
            points.append({"images": count, **milliseconds, "ms_per_image": per_image, "images_per_s": 1e3 / per_image})
    return points


def _medians(calls: dict[str, Callable[[], object]], settings: Settings) -> Point:
    """Median ms of each call; they take turns in three rounds."""
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(3):
        for name, call in calls.items():
            times_ms[name] += repeat(call, settings.growth_slot_s / 3 / len(calls))
    return {name: statistics.median(times) for name, times in times_ms.items()}


def steepening(points: list[Point], cause: str, cost: str) -> float:
    """How much faster the cost grows over the whole range than over its lower half; 1 is a straight line.

    The slope from the first to the last point, divided by the slope from the first to the point nearest to half
    of the largest cause. Costs that fall, or ranges without a middle, count as 1.
    """
    first, last = points[0], points[-1]
    half = (first[cause] + last[cause]) / 2
    middle = min(points[1:-1], key=lambda point: abs(point[cause] - half), default=last)
    rise = middle[cost] - first[cost]
    if rise <= 0 or middle[cause] == first[cause]:
        return 1.0
    slope = (last[cost] - first[cost]) / (last[cause] - first[cause])
    return max(slope, 0.0) / (rise / (middle[cause] - first[cause]))


def measure(url: str, detector_name: str, settings: Settings) -> dict[str, Any]:
    """All three tables, and how each steepens."""
    sizes, crowds, groups = (table(url, detector_name, settings) for table in (image_sizes, faces, batches))
    return {
        "image_sizes": sizes,
        "faces": crowds,
        "batches": groups,
        "steepening": {
            "image size": steepening(sizes, "megapixels", "served_ms"),
            "faces": steepening(crowds, "faces", "served_ms"),
            "images per request": steepening(groups, "images", "served_ms"),
        },
    }
