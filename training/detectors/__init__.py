"""The networks. Every detector is a `paddle.nn.Layer` with the reference implementation's state-dict names."""

from __future__ import annotations

from collections.abc import Callable

from paddle import nn

from training.detectors.blazeface import BlazeFace
from training.detectors.picodet import PicoDet
from training.detectors.ppyoloe import PPYOLOE
from tritonface_server.detectors import get_detector

BUILDERS: dict[str, Callable[[], nn.Layer]] = {
    "BlazeFace": BlazeFace,
    "BlazeFace-FPN-SSH": lambda: BlazeFace(fpn_ssh=True),
    "PicoDet_LCNet_x2_5_face": PicoDet,
    "PP-YOLOE_plus-S_face": PPYOLOE,
}


def build_detector(name: str) -> nn.Layer:
    """A freshly initialised detector.

    In eval mode it maps normalised images, float32 [N, 3, H, W], to `(boxes, scores)` before NMS:
    float32 [N, A, 4] xyxy in input pixels and float32 [N, A].

    Raises:
        ValueError: the name is not in the table of detector facts.
    """
    return BUILDERS[get_detector(name).name]()


__all__ = ["BUILDERS", "build_detector"]
