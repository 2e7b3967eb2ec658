"""Losses of a batch without any face, which a random crop can leave: numbers, with a gradient for every weight."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from training.detectors import DETECTORS, get_detector
from training.losses import Targets

NO_FACE = np.empty((0, 4), np.float32)


@pytest.mark.parametrize("name", DETECTORS)
def test_no_face_at_all(name: str) -> None:
    paddle.seed(0)
    detector = get_detector(name)
    network = detector.build_network()
    network.train()
    outputs = network.outputs(paddle.rand([2, 3, 64, 64]))
    losses = detector.build_loss()(outputs, Targets.of_faces([NO_FACE, NO_FACE], (64, 64)))
    assert all(np.isfinite(loss.item()) for loss in losses.values())
    losses["loss"].backward()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert gradients and all(np.isfinite(gradient.numpy()).all() for gradient in gradients)
