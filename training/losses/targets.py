"""The true boxes of a batch, as the losses take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import paddle

from training.augment.sample import pad_boxes


class Targets(NamedTuple):
    """The true boxes of a batch, padded to the fullest image.

    Attributes:
        boxes_xyxy_px: float32 [N, G, 4] in pixels of the network's input; zeros where padded.
        labels: class ids, int64 [N, G]; -1 where padded.
        size_wh: width and height in pixels of the network's input.
        ignored: bool [N, H, W], the pixels where nothing is to be learnt; None: there are none.
    """

    boxes_xyxy_px: paddle.Tensor
    labels: paddle.Tensor
    size_wh: tuple[int, int]
    ignored: paddle.Tensor | None = None

    def ignored_at(self, points_xy_px: paddle.Tensor) -> paddle.Tensor | None:
        """Which points [A, 2] lie where nothing is to be learnt: bool [N, A]; None if there is no such place.

        An anchor there that has no face says nothing about the background. Points outside count as the nearest inside.
        """
        if self.ignored is None:
            return None
        width, height = self.size_wh
        columns, rows = points_xy_px.floor().astype("int64").unbind(-1)
        pixels = rows.clip(0, height - 1) * width + columns.clip(0, width - 1)
        return paddle.gather(self.ignored.reshape([self.ignored.shape[0], -1]), pixels, axis=1)

    @classmethod
    def of_faces(cls, boxes_xyxy_px: Sequence[np.ndarray], size_wh: tuple[int, int]) -> Targets:
        """Targets of one class from one array [G_i, 4] per image."""
        return cls.of_classes(boxes_xyxy_px, [np.zeros(len(boxes), np.int64) for boxes in boxes_xyxy_px], size_wh)

    @classmethod
    def of_classes(
        cls, boxes_xyxy_px: Sequence[np.ndarray], labels: Sequence[np.ndarray], size_wh: tuple[int, int]
    ) -> Targets:
        """Targets from one array of boxes [G_i, 4] and one of class ids [G_i] per image."""
        padded = pad_boxes(boxes_xyxy_px, labels)
        return cls(*map(paddle.to_tensor, padded), size_wh)
