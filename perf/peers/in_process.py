"""The bare loop: decode, resize, network and NMS in one process without a server, which is the machine's limit."""

from __future__ import annotations

from collections.abc import Callable

import cv2

from training.paths import MODEL_REPOSITORY, shipped_network
from tritonface_server.detections import Detections
from tritonface_server.in_process import InProcessDetector, load_network
from tritonface_server.repository import read_detector


def open_detector(name: str, variant: str, threads: int) -> InProcessDetector:
    """A detector of the project's model repository; `variant` is one of `perf.settings.VARIANTS`."""
    return InProcessDetector(
        read_detector(MODEL_REPOSITORY, name), load_network(shipped_network(name), variant, threads)
    )


def make_call(name: str, variant: str, threads: int, encoded: bytes) -> Callable[[], Detections]:
    """The loop's body, for `perf.workers.Workers`."""
    cv2.setNumThreads(threads)
    detector = open_detector(name, variant, threads)
    return lambda: detector(encoded)
