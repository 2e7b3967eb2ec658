"""The true boxes of a batch, as the losses take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import paddle

from training.augment.sample import pad_faces


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
        """Targets of one class from one array [G_i, 4] per image."""
        padded, labels = pad_faces(boxes_xyxy_px)
        return cls(paddle.to_tensor(padded), paddle.to_tensor(labels), size_wh)
