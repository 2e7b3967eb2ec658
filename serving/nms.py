"""Greedy non-maximum suppression, vectorised, equal to Paddle's `multiclass_nms3` for one class."""

from __future__ import annotations

import numpy as np

from serving.detectors import NmsSettings

BLOCK = 64


def iou_matrix(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of `a` with every box of `b`.

    Args:
        a_xyxy, b_xyxy: float32 [A, 4] and [B, 4]; areas without the historical +1.

    Returns:
        float32 [A, B]; 0 where both boxes are empty.
    """
    left_top = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    right_bottom = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    sides = np.maximum(right_bottom - left_top, 0)
    intersection = sides[..., 0] * sides[..., 1]
    union = box_areas(a_xyxy)[:, None] + box_areas(b_xyxy)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def box_areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    """float32 [A]; boxes with a negative side count as empty."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def nms(boxes_xyxy: np.ndarray, scores: np.ndarray, settings: NmsSettings) -> np.ndarray:
    """Indices of the boxes that survive, best score first.

    Keep score > floor, sort stably, take `top_k`, suppress what overlaps a better survivor by more than
    `iou_threshold`, stop at `keep_top_k`. Boxes are taken in blocks of descending score: a block is settled
    among itself, then removes what it covers from all that follow, so the work is
    O(survivors x candidates) in a handful of numpy calls.

    Args:
        boxes_xyxy: float32 [A, 4].
        scores: float32 [A].

    Returns:
        int64 [K], K <= keep_top_k.
    """
    candidates = np.flatnonzero(scores > settings.score_floor)
    order = candidates[np.argsort(-scores[candidates], kind="stable")][: settings.top_k]
    boxes = boxes_xyxy[order]
    kept: list[np.ndarray] = []
    kept_count = 0
    while order.size and kept_count < settings.keep_top_k:
        survivors = _settle_block(boxes[:BLOCK], settings.iou_threshold)
        kept.append(order[survivors])
        kept_count += survivors.size
        winners = boxes[survivors]
        order, boxes = order[BLOCK:], boxes[BLOCK:]
        if order.size:
            free = ~(iou_matrix(winners, boxes) > settings.iou_threshold).any(axis=0)
            order, boxes = order[free], boxes[free]
    return np.concatenate(kept)[: settings.keep_top_k] if kept else np.empty(0, np.int64)


def _settle_block(boxes_xyxy: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Indices of a block's survivors; its boxes come in descending score order.

    A box survives if no surviving better box covers it. Iterating that definition from "all survive"
    settles at least one more box per round, and few chains are longer than three.
    """
    covers = np.triu(iou_matrix(boxes_xyxy, boxes_xyxy) > iou_threshold, k=1)
    alive = np.ones(len(boxes_xyxy), bool)
    while True:
        settled = ~covers[alive].any(axis=0)
        if np.array_equal(settled, alive):
            return np.flatnonzero(alive)
        alive = settled
