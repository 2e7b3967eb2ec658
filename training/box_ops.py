"""Mathematics of boxes as pure functions of tensors; boxes are (x0, y0, x1, y1), in one unit for all arguments.

GIoU: Rezatofighi et al., "Generalized Intersection over Union", 2019. Distances as distributions: Li et al.,
"Generalized Focal Loss", 2020.
"""

from __future__ import annotations

import paddle
from paddle.nn import functional as F

SMALLEST_AREA = 1e-6  # divisors are kept above it


def iou(a_xyxy: paddle.Tensor, b_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Intersection over union of broadcast boxes: [..., 4] and [..., 4] to [...]."""
    intersection, union = _intersection_and_union(a_xyxy, b_xyxy)
    return intersection / union


def pairwise_iou(a_xyxy: paddle.Tensor, b_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Intersection over union of every pair: [A, 4] and [B, 4] to [A, B]."""
    return iou(a_xyxy.unsqueeze(1), b_xyxy.unsqueeze(0))


def giou_loss(pred_xyxy: paddle.Tensor, true_xyxy: paddle.Tensor) -> paddle.Tensor:
    """1 - GIoU of broadcast boxes, in 0..2: [..., 4] and [..., 4] to [...]."""
    intersection, union = _intersection_and_union(pred_xyxy, true_xyxy)
    hull_wh = paddle.maximum(pred_xyxy[..., 2:], true_xyxy[..., 2:]) - paddle.minimum(
        pred_xyxy[..., :2], true_xyxy[..., :2]
    )
    hull = _at_least_smallest(hull_wh.clip(min=0).prod(axis=-1))
    return 1 - intersection / union + (hull - union) / hull


def pairwise_giou_loss(pred_xyxy: paddle.Tensor, true_xyxy: paddle.Tensor) -> paddle.Tensor:
    """1 - GIoU of every pair: [A, 4] and [B, 4] to [A, B]."""
    return giou_loss(pred_xyxy.unsqueeze(1), true_xyxy.unsqueeze(0))


def ltrb_to_xyxy(points_xy: paddle.Tensor, distances_ltrb: paddle.Tensor) -> paddle.Tensor:
    """Boxes [..., 4] whose left, top, right and bottom sides are `distances_ltrb` [..., 4] from the points [..., 2]."""
    return paddle.concat([points_xy - distances_ltrb[..., :2], points_xy + distances_ltrb[..., 2:]], axis=-1)


def xyxy_to_ltrb(points_xy: paddle.Tensor, boxes_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Distances [..., 4] from the points [..., 2] to the sides of the boxes [..., 4]; negative for points outside."""
    return paddle.concat([points_xy - boxes_xyxy[..., :2], boxes_xyxy[..., 2:] - points_xy], axis=-1)


def expected_distance(bin_logits: paddle.Tensor, bins: paddle.Tensor) -> paddle.Tensor:
    """The mean of a distribution over the distances `bins` [B], given its logits: [..., B] to [...]."""
    return paddle.matmul(F.softmax(bin_logits, axis=-1), bins)


def _intersection_and_union(a: paddle.Tensor, b: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    overlap_wh = paddle.minimum(a[..., 2:], b[..., 2:]) - paddle.maximum(a[..., :2], b[..., :2])
    intersection = overlap_wh.clip(min=0).prod(axis=-1)
    return intersection, _at_least_smallest(_area(a) + _area(b) - intersection)


def _area(boxes: paddle.Tensor) -> paddle.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _at_least_smallest(area: paddle.Tensor) -> paddle.Tensor:
    return area.clip(min=SMALLEST_AREA)
