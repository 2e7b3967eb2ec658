"""What the reference implementation computed with the golden weights, and our networks with the same weights.

The records are float32. Our side computes in float64, where kernels that sum in another order differ by 1e-12: what is
left between the two is the rounding of the records, the same on every CPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from tests.parity.golden import rule
from training.detectors import build_detector
from training.weights import set_weights

FOLDER = Path(__file__).parent / "golden"


def records_of(name: str) -> dict[str, np.ndarray]:
    """The detector's recorded arrays."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def network_with_golden_weights(name: str, num_classes: int = 1) -> nn.Layer:
    """Float32, as every detector is built; what was recorded has one class."""
    network = build_detector(name, num_classes)
    set_weights(network, rule.params({key: value.shape for key, value in network.state_dict().items()}))
    return network


def in_float64(name: str) -> tuple[nn.Layer, paddle.Tensor]:
    """The network and the images that were recorded, [2, 3, H, W]."""
    height, width = records_of(name)["input_hw"].tolist()
    images = rule.images(name, height, width).astype(np.float64)
    return network_with_golden_weights(name).to(dtype="float64"), paddle.to_tensor(images)
