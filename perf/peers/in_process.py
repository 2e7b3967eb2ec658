"""The bare loop: decode, resize, network and NMS in one process without a server, which is the machine's limit.

The runtimes are imported where they are used: a worker needs one of them at most.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from training.paths import MODEL_REPOSITORY, shipped_network
from tritonface_server.detections import Detections, select_detections
from tritonface_server.detector import Detector
from tritonface_server.images import decode_image, resize
from tritonface_server.repository import read_detector

THRESHOLD = 0.5
Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_network(detector: Detector, variant: str, threads: int) -> Network:
    """From a picture, uint8 [H, W, 3], to boxes [A, 4] and scores [A]; "normal" is ONNX Runtime, "hpi" OpenVINO."""
    if variant == "hpi":
        return _openvino(detector, threads)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(shipped_network(detector.name), options, providers=["CPUExecutionProvider"])

    def run(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = session.run(["boxes", "scores"], {"picture": picture[None]})
        return boxes[0], scores[0]

    return run


def _openvino(detector: Detector, threads: int) -> Network:
    import openvino

    core = openvino.Core()
    model = core.read_model(shipped_network(detector.name))
    width, height = detector.input_size_wh
    model.reshape({"picture": [1, height, width, 3]})
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if has_bf16 else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # several processes would share the first core
    }
    request = core.compile_model(model, "CPU", properties).create_infer_request()

    def run(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        results = request.infer({"picture": picture[None]}, share_inputs=True)
        return results["boxes"][0], results["scores"][0]

    return run


def detect(encoded: bytes, detector: Detector, network: Network, threshold: float = THRESHOLD) -> Detections:
    """The faces of one encoded image."""
    image = decode_image(encoded)
    boxes, scores = network(resize(image, detector.input_size_wh, detector.interpolation))
    return select_detections(
        boxes,
        scores,
        network_size_wh=detector.input_size_wh,
        original_size_wh=image.shape[1::-1],
        threshold=threshold,
        settings=detector.nms,
    )


def make_call(name: str, variant: str, threads: int, encoded: bytes) -> Callable[[], Detections]:
    """The loop's body, for `perf.workers.Workers`."""
    cv2.setNumThreads(threads)
    detector = read_detector(MODEL_REPOSITORY, name)
    network = load_network(detector, variant, threads)
    return lambda: detect(encoded, detector, network)
