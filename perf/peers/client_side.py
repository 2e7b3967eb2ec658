"""Preprocessing and NMS in the client: only the network runs on the server, pictures and raw boxes travel."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from tritonclient import grpc

from training.paths import MODEL_REPOSITORY
from tritonface_server.detections import Detections
from tritonface_server.in_process import InProcessDetector
from tritonface_server.repository import read_detector


def make_call(name: str, variant: str, url: str, encoded: bytes) -> Callable[[], Detections]:
    """Decode, resize, ask the server for boxes and scores, NMS; for `perf.workers.Workers`."""
    cv2.setNumThreads(1)
    client = grpc.InferenceServerClient(url)
    model = f"{name}_hpi_detector" if variant == "hpi" else f"{name}_detector"

    def network(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tensor = grpc.InferInput("picture", list(pictures.shape), "UINT8")
        tensor.set_data_from_numpy(pictures)
        result = client.infer(model, [tensor])
        return result.as_numpy("boxes"), result.as_numpy("scores")

    detector = InProcessDetector(read_detector(MODEL_REPOSITORY, name), network)
    return lambda: detector(encoded)
