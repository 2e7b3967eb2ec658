"""Every detector in Paddle and as an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import paddle
import pytest

from tests.parity.golden import rule
from training.detectors import build_detector
from training.export import export_onnx
from training.weights import load_weights, set_weights
from tritonface_server.detectors import DETECTORS, Detector
from tritonface_server.repository import ROOT, network_file, shipped_detectors


@dataclass
class Exported:
    """A detector in Paddle and as an ONNX file."""

    facts: Detector
    network: paddle.nn.Layer
    file: Path


@pytest.fixture(scope="session", params=DETECTORS.values(), ids=DETECTORS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The committed file where there are weights; otherwise a fresh export with the golden tests' weights."""
    facts = request.param
    network = build_detector(facts.name)
    file = network_file(facts)
    if facts in shipped_detectors():
        load_weights(network, ROOT / "weights" / f"{facts.name}.safetensors")
    else:
        set_weights(network, rule.params({key: value.shape for key, value in network.state_dict().items()}))
        file = tmp_path_factory.mktemp("onnx") / "model.onnx"
        export_onnx(network, facts, file)
    network.eval()
    return Exported(facts, network, file)
