"""Box mathematics: pure functions of tensors; any unit, as long as it is the same for all arguments."""

from __future__ import annotations

import paddle

EPSILON = 1e-9


def pairwise_iou(a_xyxy: paddle.Tensor, b_xyxy: paddle.Tensor) -> paddle.Tensor:
    """IoU of every box of `a` [..., M, 4] with every box of `b` [..., K, 4]: [..., M, K]; empty boxes give 0."""
    a_x1, a_y1, a_x2, a_y2 = a_xyxy.unsqueeze(-2).unbind(-1)  # [..., M, 1] each
    b_x1, b_y1, b_x2, b_y2 = b_xyxy.unsqueeze(-3).unbind(-1)  # [..., 1, K] each
    width = (paddle.minimum(a_x2, b_x2) - paddle.maximum(a_x1, b_x1)).clip(0)
    height = (paddle.minimum(a_y2, b_y2) - paddle.maximum(a_y1, b_y1)).clip(0)
    overlap = width * height  # [..., M, K]
    area_a = (a_x2 - a_x1).clip(0) * (a_y2 - a_y1).clip(0)
    area_b = (b_x2 - b_x1).clip(0) * (b_y2 - b_y1).clip(0)
    return overlap / (area_a + area_b - overlap + EPSILON)


def giou_loss(pred_xyxy: paddle.Tensor, true_xyxy: paddle.Tensor) -> paddle.Tensor:
    """1 - GIoU of boxes [..., 4] in pairs: [...], 0 when equal, up to 2.

    Rezatofighi et al., "Generalized Intersection over Union", 2019.
    """
    p_x1, p_y1, p_x2, p_y2 = pred_xyxy.unbind(-1)
    t_x1, t_y1, t_x2, t_y2 = true_xyxy.unbind(-1)
    width = (paddle.minimum(p_x2, t_x2) - paddle.maximum(p_x1, t_x1)).clip(0)
    height = (paddle.minimum(p_y2, t_y2) - paddle.maximum(p_y1, t_y1)).clip(0)
    overlap = width * height
    union = (p_x2 - p_x1) * (p_y2 - p_y1) + (t_x2 - t_x1) * (t_y2 - t_y1) - overlap + EPSILON
    hull_width = paddle.maximum(p_x2, t_x2) - paddle.minimum(p_x1, t_x1)
    hull_height = paddle.maximum(p_y2, t_y2) - paddle.minimum(p_y1, t_y1)
    hull = hull_width * hull_height + EPSILON
    return 1 - overlap / union + (hull - union) / hull


def boxes_from_distances(points_xy: paddle.Tensor, distances_ltrb: paddle.Tensor) -> paddle.Tensor:
    """Boxes xyxy [..., A, 4] from points [A, 2] and their distances to left, top, right, bottom [..., A, 4]."""
    return paddle.concat([points_xy - distances_ltrb[..., :2], points_xy + distances_ltrb[..., 2:]], axis=-1)


def distances_from_boxes(points_xy: paddle.Tensor, boxes_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Distances of points [A, 2] to left, top, right, bottom of boxes [..., A, 4]; negative where outside."""
    return paddle.concat([points_xy - boxes_xyxy[..., :2], boxes_xyxy[..., 2:] - points_xy], axis=-1)


def points_in_boxes(points_xy: paddle.Tensor, boxes_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Whether points [A, 2] lie strictly inside boxes [..., G, 4]: bool [..., G, A]."""
    x, y = points_xy.unbind(-1)  # [A] each
    x1, y1, x2, y2 = boxes_xyxy.unsqueeze(-2).unbind(-1)  # [..., G, 1] each
    nearest_side = paddle.minimum(paddle.minimum(x - x1, x2 - x), paddle.minimum(y - y1, y2 - y))
    return nearest_side > EPSILON
