"""Mode export: weights to a folder that PaddleX loads, that can be published, and that mode predict runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle import nn

from training.config import Config
from training.detectors import build_detector, get_detector
from training.detectors.description import DetectorDescription
from training.paddlex_folder import export_paddlex, write_settings
from training.paths import shipped_weights
from training.weight_files import load_weights_of
from tritonface_server.export_folder import NETWORK, SETTINGS

FILES = ("inference.json", "inference.pdiparams", SETTINGS, NETWORK)


def run_export(config: Config) -> dict[str, Any]:
    """Write `FILES` into `Global.output`.

    Returns:
        the weights that were read, and the files relative to the output.

    Raises:
        training.weights.WeightsError: the weights do not fit.
        training.paddle_to_onnx.ExportError: the conversion failed.
    """
    detector, output = get_detector(config.Global.model), Path(config.Global.output)
    network = build_detector(detector.name)
    weights = load_weights_of(network, Path(config.Export.weight_path or shipped_weights(detector.name)))
    export_folder(network, detector, output)
    return {"model": detector.name, "weight_path": str(weights), "files": list(FILES)}


def export_folder(network: nn.Layer, detector: DetectorDescription, folder: Path) -> None:
    """Write `FILES` of a detector into a folder; ExportError if the conversion fails."""
    export_paddlex(network, detector, folder)
    export_for_serving(network, detector, folder)


def export_for_serving(network: nn.Layer, detector: DetectorDescription, folder: Path) -> None:
    """Write only what this project's server needs: the ONNX network and the settings."""
    from training.onnx_network import export_onnx  # with onnx, which the training that ends here does without

    folder.mkdir(parents=True, exist_ok=True)
    export_onnx(network, detector, folder / NETWORK)
    write_settings(detector, folder)
