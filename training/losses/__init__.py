"""Training losses: each maps a detector's raw outputs and the true boxes to named scalars, "loss" being their total."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle

from training.losses.picodet import PicoDetLoss
from training.losses.ppyoloe import PPYOLOELoss
from training.losses.ssd import SSDLoss
from training.losses.targets import Targets
from tritonface_server.detectors import get_detector

Loss = Callable[[Any, Targets], dict[str, paddle.Tensor]]


BUILDERS: dict[str, Callable[..., Loss]] = {
    "BlazeFace": SSDLoss,
    "BlazeFace-FPN-SSH": SSDLoss,
    "PicoDet_LCNet_x2_5_face": PicoDetLoss,
    "PP-YOLOE_plus-S_face": PPYOLOELoss,
}


def build_loss(name: str, **options: Any) -> Loss:
    """The loss of a detector; it takes the detector's `outputs(images)` and the targets.

    Raises:
        ValueError: the name is not in the table of detector facts.
    """
    return BUILDERS[get_detector(name).name](**options)


__all__ = ["BUILDERS", "Loss", "Targets", "build_loss"]
