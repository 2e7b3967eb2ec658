"""Training losses: each maps a detector's raw outputs and the true boxes to named scalars, "loss" being their total."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import paddle

from serving.detectors import get_detector
from training.losses.ppyoloe import PPYOLOELoss
from training.losses.ssd import SSDLoss

Loss = Callable[[Any, "Targets"], dict[str, paddle.Tensor]]


class Targets(NamedTuple):
    """The true boxes of a batch, padded to the fullest image.

    Attributes:
        boxes_xyxy_px: float32 [N, G, 4] in pixels of the network's input; zeros where padded.
        labels: int64 [N, G]; -1 where padded.
        size_wh: width and height in pixels of the network's input.
    """

    boxes_xyxy_px: paddle.Tensor
    labels: paddle.Tensor
    size_wh: tuple[int, int]

    @classmethod
    def of_faces(cls, boxes_xyxy_px: Sequence[np.ndarray], size_wh: tuple[int, int]) -> Targets:
        """Targets of one class from one array [G_i, 4] per image; at least one column, so that G > 0."""
        most = max([1, *(len(boxes) for boxes in boxes_xyxy_px)])
        padded = np.zeros((len(boxes_xyxy_px), most, 4), np.float32)
        labels = np.full((len(boxes_xyxy_px), most), -1, np.int64)
        for i, boxes in enumerate(boxes_xyxy_px):
            padded[i, : len(boxes)] = boxes
            labels[i, : len(boxes)] = 0
        return cls(paddle.to_tensor(padded), paddle.to_tensor(labels), size_wh)


BUILDERS: dict[str, Callable[..., Loss]] = {
    "BlazeFace": SSDLoss,
    "BlazeFace-FPN-SSH": SSDLoss,
    "PP-YOLOE_plus-S_face": PPYOLOELoss,
}


def build_loss(name: str, **options: Any) -> Loss:
    """The loss of a detector; it takes the detector's `outputs(images)` and the targets.

    Raises:
        ValueError: the name is not in the table of detector facts.
    """
    return BUILDERS[get_detector(name).name](**options)
