"""A detector's network in one process, in Paddle or in ONNX Runtime, as a function of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import paddle
from paddle import nn

from training.detectors.description import DetectorDescription
from training.networks.pictures import PictureDetector
from training.weight_files import load_weights_of
from tritonface_server.export_folder import INPUT_NAME, OUTPUT_NAMES

Faces = tuple[np.ndarray, np.ndarray]
"""Boxes float32 [K, 4] xmin, ymin, xmax, ymax in pixels of the upright photo, and scores float32 [K], best first."""

Network = Callable[[np.ndarray], Faces]
"""uint8 [1, H, W, 3] BGR to boxes float32 [A, 4] in pixels of the input and scores float32 [A], before NMS."""


class DetectError(RuntimeError):
    """Detections that cannot be had: an unfit network, no server, no such model, an image refused by the server."""


def paddle_network(facts: DetectorDescription, weights: Path) -> Network:
    """The detector in Paddle, normalisation included; WeightsError if the file does not fit it."""
    layer = facts.build_network()
    load_weights_of(layer, weights)
    return layer_network(facts, layer)


def layer_network(facts: DetectorDescription, network: nn.Layer) -> Network:
    """A detector that is at hand, in inference mode from now on."""
    pictures = PictureDetector(network, facts)
    pictures.eval()

    def run(picture: np.ndarray) -> Faces:
        with paddle.no_grad():
            boxes, scores = pictures(paddle.to_tensor(picture))
        return boxes[0].numpy(), scores[0].numpy()

    return run


def onnx_network(path: Path) -> Network:
    """An exported detector in ONNX Runtime on the CPU; DetectError if the file is none."""
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise DetectError(f"{path} cannot be loaded as an ONNX network: {error}") from error
    inputs, outputs = ({value.name for value in values} for values in (session.get_inputs(), session.get_outputs()))
    if inputs != {INPUT_NAME} or not outputs >= {*OUTPUT_NAMES}:
        raise DetectError(f"{path} is not a detector exported by mode export")

    def run(picture: np.ndarray) -> Faces:
        boxes, scores = session.run(OUTPUT_NAMES, {INPUT_NAME: picture})
        return boxes[0], scores[0]

    return run
