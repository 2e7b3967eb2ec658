"""Training losses and gradients against recorded values of the reference implementation; see `recorded.py`.

Where the bounds come from: the records are float32, so an activation within its rounding of a ReLU's kink may lie on
the other side of it than in float64, and the gradients of the layers below jump. How far is measured in float64 alone:
weights moved by one float32 rounding (2^-24 of each, signs at random, six draws) move

|                                | losses | one parameter's norm | all norms together |
|--------------------------------|--------|----------------------|--------------------|
| by up to                       | 4.9e-6 | 5.0e-3               | 2.9e-4             |
| the records are away           | 2.8e-6 | 5.0e-3               | 2.9e-4             |
| allowed: at least five times   | 1e-4   | 3e-2                 | 2e-3               |

A loss or layer that is wrong is off by more than a thirtieth. In float32 the kernels of another CPU were 0.76 away.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from tests.parity.recorded import in_float64, records_of
from training.detectors import get_detector
from training.losses import Targets
from training.losses.picodet import PicoDetLoss

LOSS, ONE_NORM, ALL_NORMS = 1e-4, 3e-2, 2e-3
CASES = [
    ("BlazeFace", get_detector("BlazeFace").build_loss, ""),
    ("BlazeFace-FPN-SSH", get_detector("BlazeFace-FPN-SSH").build_loss, ""),
    ("PicoDet_LCNet_x2_5_face", partial(PicoDetLoss, cost_dtype="float32"), ""),  # as the reference computes it
    ("PP-YOLOE_plus-S_face", partial(get_detector("PP-YOLOE_plus-S_face").build_loss, assigner="atss"), "@atss"),
    ("PP-YOLOE_plus-S_face", partial(get_detector("PP-YOLOE_plus-S_face").build_loss, assigner="tal"), "@tal"),
]


@pytest.mark.fault("B10")
@pytest.mark.parametrize(("name", "build_loss", "variant"), CASES, ids=[name + variant for name, _, variant in CASES])
def test_losses_and_gradients(name: str, build_loss: Callable, variant: str) -> None:
    golden = records_of(name)
    detector, images = in_float64(name)
    detector.train()
    height, width = golden["input_hw"].tolist()
    targets = Targets.of_faces([golden["gt_boxes_0"], golden["gt_boxes_1"]], (width, height))
    losses = build_loss()(detector.outputs(images), targets)

    expected = {
        key.removeprefix("loss/").removesuffix(variant): value.item()
        for key, value in golden.items()
        if key.startswith("loss/") and key.endswith(variant)
    }
    assert {key: loss.item() for key, loss in losses.items()} == pytest.approx(expected, rel=LOSS)

    losses["loss"].backward()
    norms = {
        key: parameter.grad.norm().item()
        for key, parameter in detector.named_parameters()
        if parameter.grad is not None
    }
    recorded = dict(zip(golden[f"grad_names{variant}"].tolist(), golden[f"grad_norms{variant}"].tolist()))
    assert norms == pytest.approx(recorded, rel=ONE_NORM, abs=1e-6)
    apart = np.array([norms[key] - recorded[key] for key in recorded])
    assert np.linalg.norm(apart) < ALL_NORMS * np.linalg.norm(list(recorded.values()))
