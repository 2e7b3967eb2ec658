"""Training losses and gradients against recorded values of the reference implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from tests.parity.golden import rule
from training.detectors import build_detector, get_detector
from training.losses import Targets
from training.weights import set_weights

GOLDEN = Path(__file__).parent / "golden"
CASES = [
    ("BlazeFace", {}, ""),
    ("BlazeFace-FPN-SSH", {}, ""),
    ("PicoDet_LCNet_x2_5_face", {"cost_dtype": "float32"}, ""),  # as the reference computes it
    ("PP-YOLOE_plus-S_face", {"assigner": "atss"}, "@atss"),
    ("PP-YOLOE_plus-S_face", {"assigner": "tal"}, "@tal"),
]


@pytest.mark.parametrize(("name", "options", "variant"), CASES, ids=[name + variant for name, _, variant in CASES])
def test_losses_and_gradients(name: str, options: dict[str, str], variant: str) -> None:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        golden = dict(arrays)
    detector = build_detector(name)
    set_weights(detector, rule.params({key: value.shape for key, value in detector.state_dict().items()}))
    detector.train()
    height, width = golden["input_hw"].tolist()
    targets = Targets.of_faces([golden["gt_boxes_0"], golden["gt_boxes_1"]], (width, height))
    outputs = detector.outputs(paddle.to_tensor(rule.images(name, height, width)))
    losses = get_detector(name).build_loss(**options)(outputs, targets)

    expected = {
        key.removeprefix("loss/").removesuffix(variant): value.item()
        for key, value in golden.items()
        if key.startswith("loss/") and key.endswith(variant)
    }
    assert {key: loss.item() for key, loss in losses.items()} == pytest.approx(expected, rel=1e-4)

    losses["loss"].backward()
    norms = {
        key: parameter.grad.norm().item()
        for key, parameter in detector.named_parameters()
        if parameter.grad is not None
    }
    recorded = dict(zip(golden[f"grad_names{variant}"].tolist(), golden[f"grad_norms{variant}"].tolist()))
    assert norms == pytest.approx(recorded, rel=1e-3, abs=1e-6)
