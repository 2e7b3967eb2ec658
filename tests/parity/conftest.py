"""Every detector in Paddle and as an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import paddle
import pytest

from tests.shipped import SHIPPED, network_file
from tests.trained import exported_network, network_of
from training.detectors import DETECTORS
from training.detectors.description import DetectorDescription
from training.paths import shipped_weights


@dataclass
class Exported:
    """A detector in Paddle and as an ONNX file."""

    facts: DetectorDescription
    network: paddle.nn.Layer
    file: Path


@pytest.fixture(scope="session", params=DETECTORS.values(), ids=DETECTORS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The committed file where there are weights; otherwise an export with the golden tests' weights."""
    facts = request.param
    if facts.name in SHIPPED:
        network, file = network_of(facts.name, shipped_weights(facts.name)), network_file(facts.name)
    else:
        network, file = network_of(facts.name, None), exported_network(facts.name, None, tmp_path_factory)
    network.eval()
    return Exported(facts, network, file)
