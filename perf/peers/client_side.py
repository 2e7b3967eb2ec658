"""Preprocessing and NMS in the client: only the network runs on the server, pictures and raw boxes travel."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from tritonclient import grpc

from perf.peers.in_process import detect
from training.paths import MODEL_REPOSITORY
from tritonface_server.detections import Detections
from tritonface_server.repository import read_detector


def make_call(name: str, variant: str, url: str, encoded: bytes) -> Callable[[], Detections]:
    """Decode, resize, ask the server for boxes and scores, NMS; for `perf.workers.Workers`."""
    cv2.setNumThreads(1)
    detector = read_detector(MODEL_REPOSITORY, name)
    client = grpc.InferenceServerClient(url)
    model = f"{name}_hpi_detector" if variant == "hpi" else f"{name}_detector"

    def network(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tensor = grpc.InferInput("picture", [1, *picture.shape], "UINT8")
        tensor.set_data_from_numpy(picture[None])
        result = client.infer(model, [tensor])
        return result.as_numpy("boxes")[0], result.as_numpy("scores")[0]

    return lambda: detect(encoded, detector, network)
