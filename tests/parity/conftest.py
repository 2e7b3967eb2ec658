"""Every detector in Paddle and as an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import paddle
import pytest

from tests.shipped import network_file
from tests.trained import trained_network
from training.detectors import DETECTORS
from training.detectors.description import DetectorDescription


@dataclass
class Exported:
    """A detector in Paddle and as an ONNX file."""

    facts: DetectorDescription
    network: paddle.nn.Layer
    file: Path


@pytest.fixture(scope="session", params=DETECTORS.values(), ids=DETECTORS)
def exported(request: pytest.FixtureRequest) -> Exported:
    """With the weights that the project ships, and the file of its model repository."""
    facts = request.param
    network = trained_network(facts.name)
    network.eval()
    return Exported(facts, network, network_file(facts.name))
