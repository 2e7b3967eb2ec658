"""Mode export: weights to a folder that PaddleX loads, that can be published, and that mode predict runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from training.config import Config
from training.detectors import get_detector
from training.detectors.description import DetectorDescription
from training.json_files import write_json
from training.networks.pictures import as_function
from training.paddlex_folder import export_paddlex, write_settings
from training.paths import shipped_weights
from training.progress import accuracy_of
from training.weight_files import as_trained, find_weights, load_weights_of
from training.weights import WeightsError
from tritonface_server.export_folder import ACCURACY, NETWORK, NETWORK_SHA256, SETTINGS, sha256_of

FILES = ("inference.json", "inference.pdiparams", SETTINGS, NETWORK)


def run_export(config: Config) -> dict[str, Any]:
    """Write `FILES` into `Global.output`, to be served at the input size and with the labels of the training.

    Returns:
        the weights that were read, the network's input, its labels, and the files relative to the output.

    Raises:
        training.weights.WeightsError: the weights do not fit.
        training.paddle_to_onnx.ExportError: the conversion failed.
    """
    name, output = config.Global.model, Path(config.Global.output)
    detector, weights = export_weights(name, Path(config.Export.weight_path or shipped_weights(name)), output)
    width, height = detector.input_size_wh
    return {
        "model": detector.name,
        "weight_path": str(weights),
        "image_size": {"width": width, "height": height},
        "labels": list(detector.labels),
        "files": [*FILES, *([ACCURACY] if (output / ACCURACY).is_file() else [])],
    }


def export_weights(name: str, path: Path, folder: Path) -> tuple[DetectorDescription, Path]:
    """Write `FILES` of a detector with the weights that `path` is or holds, and `ACCURACY` if their training says it.

    Returns:
        the detector as it was trained, and the file of weights.

    Raises:
        as `run_export`.
    """
    weights = find_weights(path)
    detector = as_trained(get_detector(name), weights)
    network = detector.build_network(len(detector.labels))
    load_weights_of(network, weights)
    export_folder(network, detector, folder)
    accuracy = accuracy_of(weights)
    if accuracy is None:
        (folder / ACCURACY).unlink(missing_ok=True)  # of what was exported here before
    else:
        write_json(folder / ACCURACY, {**accuracy, NETWORK_SHA256: sha256_of(folder / NETWORK)})
    return detector, weights


def export_folder(network: nn.Layer, detector: DetectorDescription, folder: Path) -> None:
    """Write `FILES` of a detector into a folder.

    Raises:
        training.weights.WeightsError: the network's answer to noise is not finite.
        training.paddle_to_onnx.ExportError: the conversion failed.
    """
    _check_answer(network, detector)
    export_paddlex(network, detector, folder)
    export_for_serving(network, detector, folder)


def export_for_serving(network: nn.Layer, detector: DetectorDescription, folder: Path) -> None:
    """Write only what this project's server needs: the ONNX network and the settings."""
    from training.onnx_network import export_onnx  # with onnx, which the training that ends here does without

    folder.mkdir(parents=True, exist_ok=True)
    export_onnx(network, detector, folder / NETWORK)
    write_settings(detector, folder)


def _check_answer(network: nn.Layer, detector: DetectorDescription) -> None:
    width, height = detector.input_size_wh
    noise = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    if not all(np.isfinite(answer).all() for answer in as_function(network, detector)(noise)):
        raise WeightsError("with these weights the network's answer is not finite, as if its training had diverged")
