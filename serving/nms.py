"""Greedy non-maximum suppression, vectorised, equal to Paddle's `multiclass_nms3` for one class."""

from __future__ import annotations

import numpy as np

from serving.detectors import NmsSettings

BLOCK = 64  # bits of the integers in _settle
FIRST_CHUNK = 256


def nms(boxes_xyxy: np.ndarray, scores: np.ndarray, settings: NmsSettings) -> np.ndarray:
    """Indices of the boxes that survive, best score first.

    Keep score > floor, sort stably, take `top_k`, suppress what overlaps a better survivor by more than
    `iou_threshold`, stop at `keep_top_k`. Boxes are taken in chunks of descending score, each twice as long as the
    one before: many survivors fill `keep_top_k` before the later chunks are looked at, few cost little. A chunk
    first loses what earlier survivors cover, then is settled block by block.

    Args:
        boxes_xyxy: float32 [A, 4].
        scores: float32 [A].

    Returns:
        int64 [K], K <= keep_top_k.
    """
    candidates = np.flatnonzero(scores > settings.score_floor)
    order = candidates[np.argsort(-scores[candidates], kind="stable")][: settings.top_k]
    boxes = boxes_xyxy[order]
    columns = np.vstack([boxes.T, box_areas(boxes)])  # [5, C]: one contiguous row each for x1, y1, x2, y2, area
    kept = np.empty(0, np.int64)
    start, size = 0, FIRST_CHUNK
    with np.errstate(divide="ignore", invalid="ignore"):  # two empty boxes: 0 / 0, which is > nothing
        while start < order.size:
            chunk = np.arange(start, min(start + size, order.size))
            start, size = start + size, size * 2
            chunk = _free_of(kept, chunk, columns, settings.iou_threshold)
            while chunk.size:
                block, chunk = chunk[:BLOCK], chunk[BLOCK:]
                survivors = block[_settle(columns[:, block], settings.iou_threshold)]
                kept = np.concatenate([kept, survivors])
                if kept.size >= settings.keep_top_k:
                    return order[kept[: settings.keep_top_k]]
                covered = _covered(columns[:, survivors], columns[:, chunk], settings.iou_threshold)
                chunk = chunk[~covered.any(axis=0)]
    return order[kept]


def box_areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    """float32 [A], without the historical +1; boxes with a negative side count as empty."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def _free_of(kept: np.ndarray, chunk: np.ndarray, columns: np.ndarray, iou_threshold: float) -> np.ndarray:
    """What of `chunk` no box of `kept` covers; only boxes that meet in x are compared."""
    by_x = kept[np.argsort(columns[0, kept])]
    for i in range(0, by_x.size, BLOCK):
        group, boxes = columns[:, by_x[i : i + BLOCK]], columns[:, chunk]
        near = np.flatnonzero((boxes[0] < np.fmax.reduce(group[2])) & (boxes[2] > group[0, 0]))
        covered = _covered(group, boxes[:, near], iou_threshold).any(axis=0)
        chunk = np.delete(chunk, near[covered])
    return chunk


def _settle(columns: np.ndarray, iou_threshold: float) -> list[int]:
    """Positions of the survivors among at most `BLOCK` boxes in descending score order."""
    bits = np.packbits(_covered(columns, columns, iou_threshold), axis=1, bitorder="little")
    rows = np.zeros((len(bits), BLOCK // 8), np.uint8)
    rows[:, : bits.shape[1]] = bits
    covered, survivors = 0, []
    for i, row in enumerate(rows.view("<u8")[:, 0].tolist()):
        if not covered >> i & 1:
            survivors.append(i)
            covered |= row
    return survivors


def _covered(a: np.ndarray, b: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Whether boxes of `a`, float32 [5, A], and of `b`, [5, B], overlap by more than the threshold: bool [A, B].

    In place where possible: what this costs is memory traffic. One clamp of a negative side is enough, as a
    negative intersection exceeds no threshold.
    """
    width = np.minimum(a[2][:, None], b[2])
    width -= np.maximum(a[0][:, None], b[0])
    intersection = np.minimum(a[3][:, None], b[3])
    intersection -= np.maximum(a[1][:, None], b[1])
    intersection *= np.maximum(width, 0, out=width)
    union = np.add(a[4][:, None], b[4], out=width)
    union -= intersection
    return np.divide(intersection, union, out=intersection) > iou_threshold
