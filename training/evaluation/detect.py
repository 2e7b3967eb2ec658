"""Three ways from a photo to its faces: the Paddle network, an ONNX file, and what a Triton server serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from training.dataset_pictures import read_picture
from training.detectors import get_detector
from training.networks.pictures import as_function
from training.weight_files import as_trained, find_weights, load_weights_of
from tritonface_server.detections import Detections
from tritonface_server.in_process import InProcessDetector, Network, load_network
from tritonface_server.runtimes import NetworkError

if TYPE_CHECKING:
    from training.evaluation.served import Served

LOW_THRESHOLD = 0.0  # below it the detector's own `score_threshold` decides; curves need the doubtful faces too


class DetectError(RuntimeError):
    """Detections that cannot be had: an unfit network, no server, no such model."""


class Detect(Protocol):
    """Finds the faces in a photo.

    Attributes:
        size_wh: width and height in pixels to which the network sees every photo stretched.
        source: the kind of thing that detects, for the record: "paddle", "onnx" or "served".
        labels: class names by class id.
    """

    size_wh: tuple[int, int]
    source: str
    labels: tuple[str, ...]

    def __call__(self, photo: Path) -> Detections:
        """The faces in a photo.

        Raises:
            OSError: it cannot be read.
            tritonface_server.images.ImageError: it cannot be decoded.
            DetectError: the server does not answer, or the network answers with what is not finite.
        """
        ...


class InProcess:
    """Finds them in this process, down to the detector's own score floor."""

    def __init__(self, detector: InProcessDetector, source: str) -> None:
        self.detector, self.source = detector, source
        self.size_wh, self.labels = detector.size_wh, detector.facts.labels

    def __call__(self, photo: Path) -> Detections:
        return self.detector(read_picture(photo), LOW_THRESHOLD)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # nothing is held open


def open_detect(
    detector: str,
    *,
    weights: Path | None = None,
    served_url: str | None = None,
    served_model: str | None = None,
    size_wh: tuple[int, int] | None = None,
) -> InProcess | Served:
    """The way that the arguments describe.

    Args:
        detector: a name of `training.detectors.DETECTORS`.
        weights: a .safetensors or .pdparams file for the Paddle network, or an exported .onnx file.
        served_url: host:port of a Triton server's gRPC endpoint, instead of `weights`.
        served_model: the model's name there; that of the detector if None.
        size_wh: the network's input in pixels; if None, that for which the weights were chosen, that of the served
            model, or the detector's own.

    Raises:
        ValueError: not exactly one of `weights` and `served_url`, an unknown detector or an unfit size.
        WeightsError, DetectError: the weights, the ONNX file or the server are of no use.
    """
    facts = get_detector(detector)
    if served_url is not None and weights is None:
        from training.evaluation.served import Served  # the SDK, which only this needs

        return Served(served_url, served_model or detector, size_wh)
    if weights is None or served_url is not None:
        raise ValueError("give either a file of weights or the address of a server, not both and not none")
    weights = weights if weights.suffix == ".onnx" else find_weights(weights)
    facts = as_trained(facts, weights)
    if weights.suffix == ".onnx":
        try:
            return InProcess(InProcessDetector(facts, checked(load_network(weights)), size_wh), "onnx")
        except NetworkError as error:
            raise DetectError(str(error)) from error
    network = facts.build_network(len(facts.labels))
    load_weights_of(network, weights)
    return InProcess(InProcessDetector(facts, checked(as_function(network, facts)), size_wh), "paddle")


def checked(network: Network) -> Network:
    """A network whose answers must be finite; without a check the others would pass for pictures without faces."""

    def run(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = network(pictures)
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise DetectError("the network's answer is not finite, as if its training had diverged")
        return boxes, scores

    return run
