"""Micro-benchmarks of what the Python steps call: resize, and NMS of dense, spread and real candidates."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from perf.peers.in_process import open_detector
from perf.photos import TYPICAL_MEGAPIXELS, crowd, photo
from perf.settings import VARIANTS
from perf.workers import repeat
from training.paths import MODEL_REPOSITORY
from tritonface_server.detections import select_detections
from tritonface_server.detector import Detector
from tritonface_server.images import decode_image, resize
from tritonface_server.repository import read_detector

CANDIDATES = (1000, 5000)
LAYOUTS = ("dense", "spread", "real")
IMAGES = (1, 4, 16, 32)
REPEAT_S, ROUNDS = 0.3, 5


def measure(detector_name: str, rounds: int = ROUNDS) -> dict[str, Any]:
    """Median milliseconds: `{"decode", "preprocess", "nms": {layout: {candidates: ms}}, "batch": {images: CPU ms}}`."""
    detector = read_detector(MODEL_REPOSITORY, detector_name)
    cv2.setNumThreads(1)

    def median_ms(call: Callable[[], object]) -> float:
        return quiet_ms(call, rounds)

    encoded = photo(TYPICAL_MEGAPIXELS)
    image = decode_image(encoded)
    nms: dict[str, dict[str, float]] = {}
    for layout in LAYOUTS:
        for count in CANDIDATES:
            boxes, scores = candidates(layout, count, detector)
            nms.setdefault(layout, {})[str(count)] = median_ms(lambda: select(boxes, scores, detector))  # noqa: B023
    boxes, scores = candidates("real", CANDIDATES[0], detector)
    batches = {
        str(count): cpu_ms(lambda: handle(count, image, boxes, scores, detector), rounds)  # noqa: B023
        for count in IMAGES
    }
    return {
        "detector": detector.name,
        "decode": median_ms(lambda: decode_image(encoded)),
        "preprocess": median_ms(lambda: resize(image, detector.input_size_wh, detector.interpolation)),
        "nms": nms,
        "batch": batches,
    }


def quiet_ms(call: Callable[[], object], rounds: int) -> float:
    """The smallest of the medians of several short series: what it costs when nobody disturbs."""
    call()
    return min(statistics.median(repeat(call, REPEAT_S)) for _ in range(rounds))


def cpu_ms(call: Callable[[], object], rounds: int) -> float:
    """The least CPU time of a call, which another process cannot stretch as it stretches the time of a long call."""
    times_ms = []
    for _ in range(rounds + 1):
        before = time.process_time()
        call()
        times_ms.append((time.process_time() - before) * 1e3)
    return min(times_ms)


def select(boxes: np.ndarray, scores: np.ndarray, detector: Detector) -> None:
    """All that the last step does with one image, every candidate above the threshold."""
    select_detections(
        boxes,
        scores,
        network_size_wh=detector.input_size_wh,
        original_size_wh=detector.input_size_wh,
        threshold=0.0,
        settings=detector.nms,
    )


def handle(count: int, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray, detector: Detector) -> None:
    """What the Python steps do with a request of `count` images, without decoding and network."""
    for _ in range(count):
        resize(image, detector.input_size_wh, detector.interpolation)
        select(boxes, scores, detector)


def candidates(layout: str, count: int, detector: Detector) -> tuple[np.ndarray, np.ndarray]:
    """Boxes, float32 [A, 4], and scores, float32 [A], of which `count` are above the detector's floor.

    "dense" piles all on a few faces, so that almost all are suppressed; "spread" is a grid where none touches
    another; "real" is what the network says of a crowd, its `count` best scores raised above the floor.
    """
    width, _ = detector.input_size_wh
    generator = np.random.default_rng(0)
    if layout == "real":
        in_process = open_detector(detector.name, VARIANTS[0], 1)
        (boxes,), (scores,) = in_process.network(in_process.pictures([decode_image(crowd(200))]))
        order = np.argsort(-scores, kind="stable")
        raised = np.zeros_like(scores)
        raised[order[:count]] = np.maximum(scores[order[:count]], 2 * detector.nms.score_threshold)
        return boxes, raised
    if layout == "dense":
        centres = generator.uniform(100, 500, (20, 2))[generator.integers(0, 20, count)]
        centres += generator.normal(0, 3, (count, 2))
        sides = generator.uniform(45, 55, (count, 2))
    else:
        columns = int(np.ceil(np.sqrt(count)))
        pitch = width / columns
        places = np.stack(np.divmod(np.arange(count), columns), axis=1)
        centres, sides = (places + 0.5) * pitch, np.full((count, 2), pitch * 0.8)
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)
    return boxes, generator.uniform(0.05, 1, count).astype(np.float32)


def rows(results: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Name and milliseconds of each figure."""
    yield "decode", results["decode"]
    yield "preprocess without decoding", results["preprocess"]
    for layout, by_count in results["nms"].items():
        for count, milliseconds in by_count.items():
            yield f"NMS of {count} candidates, {layout}", milliseconds
