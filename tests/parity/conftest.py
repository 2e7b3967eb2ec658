"""Every detector in Paddle and as an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import paddle
import pytest

from tests.parity.recorded import network_with_golden_weights
from tests.shipped import SHIPPED, network_file
from training.detectors import DETECTORS, build_detector
from training.detectors.description import DetectorDescription
from training.onnx_network import export_onnx
from training.paths import ROOT
from training.weights import load_weights


@dataclass
class Exported:
    """A detector in Paddle and as an ONNX file."""

    facts: DetectorDescription
    network: paddle.nn.Layer
    file: Path


@pytest.fixture(scope="session", params=DETECTORS.values(), ids=DETECTORS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The committed file where there are weights; otherwise a fresh export with the golden tests' weights."""
    facts = request.param
    file = network_file(facts.name)
    if facts.name in SHIPPED:
        network = build_detector(facts.name)
        load_weights(network, ROOT / "weights" / f"{facts.name}.safetensors")
    else:
        network = network_with_golden_weights(facts.name)
        file = tmp_path_factory.mktemp("onnx") / "model.onnx"
        export_onnx(network, facts, file)
    network.eval()
    return Exported(facts, network, file)
