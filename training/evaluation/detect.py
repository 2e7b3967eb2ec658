"""Three ways from an encoded photo to its faces: the Paddle network, an ONNX file, and what a Triton server serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from training.detectors import get_detector
from training.evaluation.networks import DetectError, Faces, Network, onnx_network, paddle_network
from tritonface_server.detections import select_detections
from tritonface_server.detector import Detector
from tritonface_server.images import check_network_size, decode_image, resize

LOW_THRESHOLD = 0.0  # below it the detector's own `score_floor` decides; curves need the doubtful faces too
TIMEOUT_S = 60.0
OUTPUTS = ("num_detections", "detection_boxes", "detection_scores")
REFUSED = "StatusCode.INVALID_ARGUMENT"  # what Triton's gRPC says of a bad image


class Detect(Protocol):
    """Finds the faces in a photo.

    Attributes:
        size_wh: width and height in pixels to which the network sees every photo stretched.
        source: the kind of thing that detects, for the record: "paddle", "onnx" or "served".
    """

    size_wh: tuple[int, int]
    source: str

    def __call__(self, encoded: bytes) -> Faces:
        """The faces in one encoded photo.

        Raises:
            tritonface_server.images.ImageError, DetectError: it cannot be decoded, or the server does not answer.
        """
        ...


class InProcess:
    """Decodes, stretches, runs a network and suppresses duplicates with the functions that the server uses."""

    def __init__(self, network: Network, facts: Detector, source: str, size_wh: tuple[int, int] | None = None) -> None:
        self.network, self.facts, self.source = network, facts, source
        self.size_wh = size_wh or facts.input_size_wh
        check_network_size(self.size_wh, facts.size_multiple)

    def __call__(self, encoded: bytes) -> Faces:
        photo = decode_image(encoded)
        boxes, scores = self.network(resize(photo, self.size_wh, self.facts.interpolation)[None])
        found = select_detections(
            boxes,
            scores,
            network_size_wh=self.size_wh,
            original_size_wh=photo.shape[1::-1],
            threshold=LOW_THRESHOLD,
            settings=self.facts.nms,
        )
        return found.boxes_xyxy_px, found.scores

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # nothing is held open


class Served:
    """Asks a Triton server over gRPC.

    Args:
        url: host:port.
        model: the name of an ensemble on it, e.g. "BlazeFace_hpi".
        size_wh: the network's input in pixels; the model's own if None.

    Raises:
        DetectError: nobody answers, or the server has no such detector.
    """

    source = "served"

    def __init__(self, url: str, model: str, size_wh: tuple[int, int] | None = None) -> None:
        self.url, self.model = url, model
        self._client = triton.InferenceServerClient(url)
        self._size = None if size_wh is None else _tensor("img_size", "INT32", np.array([size_wh], np.int32))
        self.size_wh = size_wh or self._own_size_wh()

    def __call__(self, encoded: bytes) -> Faces:
        image = _tensor("image", "BYTES", np.array([[encoded]], object))
        inputs = [image, _tensor("threshold", "FP32", np.array([[LOW_THRESHOLD]], np.float32))]
        if self._size is not None:
            inputs.append(self._size)
        outputs = [triton.InferRequestedOutput(name) for name in OUTPUTS]
        try:
            reply = self._client.infer(self.model, inputs, outputs=outputs, client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            raise self._own_error(error) from error
        count, boxes, scores = (reply.as_numpy(name)[0] for name in OUTPUTS)
        return boxes[: int(count[0])], scores[: int(count[0])]

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _own_size_wh(self) -> tuple[int, int]:
        """The size that the ensemble's first step stretches to unless told otherwise."""
        try:
            steps = self._config(self.model).ensemble_scheduling.step
            if not steps:
                raise DetectError(f"{self.model!r} at {self.url} is not a detector's ensemble, but a step of one")
            parameters = self._config(steps[0].model_name).parameters
            width, height = json.loads(parameters["input_size_wh"].string_value)
        except InferenceServerException as error:
            raise self._own_error(error) from error
        except ValueError:
            raise DetectError(f"{self.model!r} at {self.url} does not say its input size; give one") from None
        return width, height

    def _config(self, model: str) -> triton.model_config_pb2.ModelConfig:
        return self._client.get_model_config(model, client_timeout=TIMEOUT_S).config

    def _own_error(self, error: InferenceServerException) -> DetectError:
        if error.status() == REFUSED:
            return DetectError(f"{self.model!r} at {self.url} refuses: {error.message()}")
        return DetectError(
            f"no detections from {self.model!r} at {self.url}: {error.message()}; is the server running "
            "(`make serve`), and does it serve this model over gRPC at this address?"
        )


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
        served_url: host:port of a Triton server, instead of `weights`.
        served_model: the model's name there; that of the detector if None.
        size_wh: the network's input in pixels; the detector's own, or that of the served model, if None.

    Raises:
        ValueError: not exactly one of `weights` and `served_url`, an unknown detector or an unfit size.
        WeightsError, DetectError: the weights, the ONNX file or the server are of no use.
    """
    facts = get_detector(detector)
    if (weights is None) == (served_url is None):
        raise ValueError("give either a file of weights or the address of a server, not both and not none")
    if served_url is not None:
        return Served(served_url, served_model or detector, size_wh)
    if weights.suffix == ".onnx":
        return InProcess(onnx_network(weights), facts, "onnx", size_wh)
    return InProcess(paddle_network(facts, weights), facts, "paddle", size_wh)


def _tensor(name: str, data_type: str, value: np.ndarray) -> triton.InferInput:
    tensor = triton.InferInput(name, list(value.shape), data_type)
    tensor.set_data_from_numpy(value)
    return tensor
