"""The networks in Paddle with the weights that the project ships."""

from __future__ import annotations

from paddle import nn

from training.detectors import build_detector
from training.paths import shipped_weights
from training.weights import load_weights


def trained_network(name: str) -> nn.Layer:
    """The network of a detector."""
    network = build_detector(name)
    load_weights(network, shipped_weights(name))
    return network
