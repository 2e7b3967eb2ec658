"""Mathematics of boxes on Paddle tensors, as pure functions."""

from __future__ import annotations

import paddle


def xyxy_to_cxcywh(boxes_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Corners [..., 4] to centre, width and height [..., 4]."""
    left_top, right_bottom = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return paddle.concat([(left_top + right_bottom) / 2, right_bottom - left_top], axis=-1)


def cxcywh_to_xyxy(boxes_cxcywh: paddle.Tensor) -> paddle.Tensor:
    """Centre, width and height [..., 4] to corners [..., 4]."""
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return paddle.concat([centre - half, centre + half], axis=-1)


def box_areas(boxes_xyxy: paddle.Tensor) -> paddle.Tensor:
    """[..., 4] to [...]; a negative side counts as zero."""
    return (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clip(min=0).prod(axis=-1)


def pairwise_iou(a_xyxy: paddle.Tensor, b_xyxy: paddle.Tensor) -> paddle.Tensor:
    """Intersection over union of every box of `a` [..., A, 4] with every one of `b` [..., B, 4]: [..., A, B]."""
    a, b = a_xyxy.unsqueeze(-2), b_xyxy.unsqueeze(-3)
    left_top = paddle.maximum(a[..., :2], b[..., :2])
    right_bottom = paddle.minimum(a[..., 2:], b[..., 2:])
    intersection = (right_bottom - left_top).clip(min=0).prod(axis=-1)
    return intersection / (box_areas(a) + box_areas(b) - intersection).clip(min=1e-9)
