from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from training.losses import Targets
from training.losses.picodet import PicoDetLoss, distribution_focal_loss
from training.networks.picodet import BINS, PicoDetOutputs

NO_FACE = np.empty((0, 4), np.float32)
FACE = np.array([[4, 4, 20, 20]], np.float32)  # every side one cell from the centre of the middle cell


def outputs(face_logit: float, images: int) -> PicoDetOutputs:
    """3 x 3 cells of 8 px, all certain that each side is one cell away."""
    grid = (np.stack(np.meshgrid(range(3), range(3)), -1).reshape(-1, 2) + 0.5) * 8
    class_logits = paddle.full([images, 9], face_logit)
    side_logits = paddle.zeros([images, 9, 4, BINS])
    side_logits[..., 1] = 50.0
    class_logits.stop_gradient = side_logits.stop_gradient = False
    sides = paddle.ones([images, 9, 4])
    centres, strides = paddle.to_tensor(grid.astype(np.float32)), paddle.full([9, 1], 8.0)
    return PicoDetOutputs(class_logits, side_logits, sides, centres, strides)


def test_no_face_at_all() -> None:
    out = outputs(0.0, images=2)
    losses = PicoDetLoss()(out, Targets.of_faces([NO_FACE, NO_FACE], (24, 24)))
    background = 18 * 0.75 * 0.5**2 * math.log(2)
    assert {key: loss.item() for key, loss in losses.items()} == pytest.approx(
        {"loss_vfl": background, "loss_bbox": 0, "loss_dfl": 0, "loss": background}
    )
    losses["loss"].backward()
    assert np.isfinite(out.class_logits.grad.numpy()).all()
    assert not out.side_logits.grad.numpy().any()


def test_one_face() -> None:
    losses = PicoDetLoss("float32")(outputs(0.0, images=2), Targets.of_faces([NO_FACE, FACE], (24, 24)))
    # IoUs: 1 in the middle cell, four of 1/3, four of 1/7; their sum of 2.9 makes two cells positive. Only the middle
    # one is inside the face, so the other is the first candidate, cell 0 with IoU 1/7. Their scores weigh 0.5 each.
    background = 16 * 0.75 * 0.5**2
    giou = 1 / 7 - (576 - 448) / 576
    far_bins = 50.0  # cross entropy of cell 0, whose sides are 0, 0, 2 and 2 cells away
    expected = {
        "loss_vfl": (1 + 1 / 7 + background) * math.log(2) / 2,
        "loss_bbox": 2 * 0.5 * (1 - giou),
        "loss_dfl": 0.25 * 0.5 * far_bins,
    }
    assert {key: losses[key].item() for key in expected} == pytest.approx(expected, rel=1e-5)
    assert losses["loss"].item() == pytest.approx(sum(expected.values()), rel=1e-5)


def test_distribution_focal_loss() -> None:
    assert distribution_focal_loss(paddle.zeros([0, 4]), paddle.zeros([0])).shape == [0]
    even = paddle.zeros([1, 4])
    assert distribution_focal_loss(even, paddle.to_tensor([1.3])).item() == pytest.approx(math.log(4))
    logits = paddle.log(paddle.to_tensor([[0.1, 0.2, 0.3, 0.4]]))
    wanted = -0.75 * math.log(0.2) - 0.25 * math.log(0.3)
    assert distribution_focal_loss(logits, paddle.to_tensor([1.25])).item() == pytest.approx(wanted)
