"""Mathematics of boxes as pure functions of tensors; boxes are (x0, y0, x1, y1), in one unit for all arguments.

GIoU: Rezatofighi et al., "Generalized Intersection over Union", 2019. Distances as distributions: Li et al.,
"Generalized Focal Loss", 2020.
"""

from __future__ import annotations

import paddle
from paddle.nn import functional as F

SMALLEST_AREA = 1e-6  # divisors are kept above it
SMALLEST_DISTANCE = 1e-9  # to the nearest side, for a point inside


def iou(a_xyxy: paddle.Tensor, b_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Intersection over union of broadcast boxes: [..., 4] and [..., 4] to [...]."""
    intersection, union = _intersection_and_union(a_xyxy, b_xyxy)
    return intersection / union


def pairwise_iou(a_xyxy: paddle.Tensor, b_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Intersection over union of every pair: [..., A, 4] and [..., B, 4] to [..., A, B]."""
    return iou(a_xyxy.unsqueeze(-2), b_xyxy.unsqueeze(-3))


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


def points_in_boxes(points_xy: paddle.Tensor, boxes_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Whether points [A, 2] lie inside boxes [..., B, 4], not on their sides: bool [..., B, A]."""
    x, y = points_xy.unbind(-1)  # [A] each
    x0, y0, x1, y1 = boxes_xyxy.unsqueeze(-2).unbind(-1)  # [..., B, 1] each
    nearest = paddle.minimum(paddle.minimum(x - x0, x1 - x), paddle.minimum(y - y0, y1 - y))
    return nearest > SMALLEST_DISTANCE


def xyxy_to_cxcywh(boxes_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Corners [..., 4] to centre, width and height [..., 4]."""
    left_top, right_bottom = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return paddle.concat([(left_top + right_bottom) / 2, right_bottom - left_top], axis=-1)


def cxcywh_to_xyxy(boxes_cxcywh: paddle.Tensor) -> paddle.Tensor:
    """Centre, width and height [..., 4] to corners [..., 4]."""
    centre, half_wh = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return paddle.concat([centre - half_wh, centre + half_wh], axis=-1)


def expected_distance(bin_logits: paddle.Tensor, bins: paddle.Tensor) -> paddle.Tensor:
    """The mean of a distribution over the distances `bins` [B], given its logits: [..., B] to [...]."""
    return paddle.matmul(F.softmax(bin_logits, axis=-1), bins)


def _intersection_and_union(a: paddle.Tensor, b: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    # Side by side, since a pair of coordinates for every pair of boxes would take twice the memory.
    a_x0, a_y0, a_x1, a_y1 = a.unbind(-1)
    b_x0, b_y0, b_x1, b_y1 = b.unbind(-1)
    width = (paddle.minimum(a_x1, b_x1) - paddle.maximum(a_x0, b_x0)).clip(min=0)
    height = (paddle.minimum(a_y1, b_y1) - paddle.maximum(a_y0, b_y0)).clip(min=0)
    intersection = width * height
    return intersection, _at_least_smallest(_area(a) + _area(b) - intersection)


def _area(boxes: paddle.Tensor) -> paddle.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _at_least_smallest(area: paddle.Tensor) -> paddle.Tensor:
    return area.clip(min=SMALLEST_AREA)
