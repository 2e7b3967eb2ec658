"""Weights of a detector: trained ones where there are some, else the golden tests' random ones; and its ONNX file."""

from __future__ import annotations

from pathlib import Path

import pytest
from paddle import nn

from tests.once import once_per_run
from tests.parity.recorded import network_with_golden_weights
from training.detectors import build_detector, get_detector
from training.export import export_for_serving
from training.paths import ROOT
from training.weights import load_weights
from tritonface_server.export_folder import NETWORK

FOLDERS = (ROOT / "weights", ROOT.parent / "shared" / "weights")


def trained_weights(name: str) -> Path | None:
    """The safetensors file of the project, or of a folder `shared/weights` beside the checkout; None without one."""
    files = (folder / f"{name}.safetensors" for folder in FOLDERS)
    return next((file for file in files if file.is_file()), None)


def network_of(name: str, weights: Path | None) -> nn.Layer:
    """The network in Paddle with these weights; None for the golden ones."""
    if weights is None:
        return network_with_golden_weights(name)
    network = build_detector(name)
    load_weights(network, weights)
    return network


def exported_network(name: str, weights: Path | None, temporary: pytest.TempPathFactory) -> Path:
    """The same as an ONNX file, exported once for a run of tests."""

    def export(folder: Path) -> None:
        export_for_serving(network_of(name, weights), get_detector(name), folder)

    kind = "golden" if weights is None else "trained"
    return once_per_run(temporary, f"{name}-{kind}", export) / NETWORK
