"""Greedy non-maximum suppression, vectorised, equal to Paddle's `multiclass_nms3`."""

from __future__ import annotations

import numpy as np

from tritonface_server.detector import NmsSettings

FIRST_CHUNK, NEXT_CHUNKS = 256, 512
GROUP = 64  # boxes compared with a chunk at once, few enough for the caches


def nms_per_class(boxes_xyxy: np.ndarray, scores: np.ndarray, settings: NmsSettings) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the boxes that survive and their classes, best score first.

    Boxes of different classes do not suppress each other: `top_k` holds for each class, `keep_top_k` for all together.
    Equal scores keep the order of their classes, then that of their boxes.

    Args:
        boxes_xyxy: float32 [A, 4].
        scores: float32 [A, C].

    Returns:
        int64 [K] and int32 [K], K <= keep_top_k; a box that survives in two classes comes twice.
    """
    if scores.shape[1] == 1:
        kept = nms(boxes_xyxy, scores[:, 0], settings)
        return kept, np.zeros(len(kept), np.int32)
    classes = np.flatnonzero((scores > settings.score_threshold).any(axis=0))
    survivors = [nms(boxes_xyxy, scores[:, class_id], settings) for class_id in classes]
    kept = np.concatenate([np.empty(0, np.int64), *survivors])
    class_ids = np.repeat(classes, [len(each) for each in survivors])
    best = np.argsort(-scores[kept, class_ids], kind="stable")[: settings.keep_top_k]
    return kept[best], class_ids[best].astype(np.int32)


def nms(boxes_xyxy: np.ndarray, scores: np.ndarray, settings: NmsSettings) -> np.ndarray:
    """Indices of the boxes of one class that survive, best score first.

    Keep score > floor, sort stably, take `top_k`, suppress what overlaps a better survivor by more than
    `iou_threshold`, stop at `keep_top_k`. Boxes are taken in chunks of descending score: many survivors fill
    `keep_top_k` before the later chunks are looked at, few cost little. A chunk first loses what earlier survivors
    cover, then is settled by itself.

    Args:
        boxes_xyxy: float32 [A, 4].
        scores: float32 [A].

    Returns:
        int64 [K], K <= keep_top_k.
    """
    candidates = np.flatnonzero(scores > settings.score_threshold)
    order = candidates[np.argsort(-scores[candidates], kind="stable")][: settings.top_k]
    boxes = boxes_xyxy[order]
    columns = np.vstack([boxes.T, box_areas(boxes)])  # [5, C]: one contiguous row each for x1, y1, x2, y2, area
    kept = np.empty(0, np.int64)
    start, size = 0, FIRST_CHUNK
    with np.errstate(divide="ignore", invalid="ignore"):  # two empty boxes: 0 / 0, which is > nothing
        while start < order.size and kept.size < settings.keep_top_k:
            chunk = np.arange(start, min(start + size, order.size))
            start, size = start + size, NEXT_CHUNKS
            chunk = _free_of(kept, chunk, columns, settings.iou_threshold)
            kept = np.concatenate([kept, chunk[_settle(columns[:, chunk], settings.iou_threshold)]])
    return order[kept[: settings.keep_top_k]]


def box_areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    """float32 [A], without the historical +1; boxes with a negative side count as empty."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def _free_of(kept: np.ndarray, chunk: np.ndarray, columns: np.ndarray, iou_threshold: float) -> np.ndarray:
    """What of `chunk` no box of `kept` covers; only boxes that meet in x are compared."""
    by_x = kept[np.argsort(columns[0, kept])]
    for i in range(0, by_x.size, GROUP):
        group, boxes = columns[:, by_x[i : i + GROUP]], columns[:, chunk]
        near = np.flatnonzero((boxes[0] < np.fmax.reduce(group[2])) & (boxes[2] > group[0, 0]))
        covered = _covered(group[:, :, None], boxes[:, near], iou_threshold).any(axis=0)
        chunk = np.delete(chunk, near[covered])
    return chunk


def _settle(columns: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Positions of the survivors among boxes in descending score order; only those that overlap are gone through."""
    count = columns.shape[1]
    a, b = _pairs_meeting_in_x(columns)
    covered = _covered(columns[:, a], columns[:, b], iou_threshold)
    covers = np.zeros((count, count), bool)
    covers[a[covered], b[covered]] = covers[b[covered], a[covered]] = True
    survives = ~covers.any(axis=1)
    bits = np.packbits(covers, axis=1, bitorder="little")
    gone = 0
    for i in np.flatnonzero(~survives).tolist():
        if not gone >> i & 1:
            survives[i] = True
            gone |= int.from_bytes(bits[i].tobytes(), "little")
    return np.flatnonzero(survives)


def _pairs_meeting_in_x(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices, int64 [P] each, of the pairs of boxes whose intervals on the x axis overlap, each pair once."""
    by_x = np.argsort(columns[0])
    x1, x2 = columns[0, by_x], columns[2, by_x]
    places = np.arange(by_x.size)
    counts = np.maximum(np.searchsorted(x1, x2) - places - 1, 0)  # boxes that begin inside this one, right of it
    first = np.repeat(places, counts)
    second = first + 1 + np.arange(first.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_x[first], by_x[second]


def _covered(a: np.ndarray, b: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Whether boxes overlap by more than the threshold: bool, of the shape that the rows of `a` and `b` broadcast to.

    In place where possible: what this costs is memory traffic. One clamp of a negative side is enough, as a
    negative intersection exceeds no threshold.

    Args:
        a, b: float32 [5, ...]: x1, y1, x2, y2 and area.
    """
    width = np.minimum(a[2], b[2])
    width -= np.maximum(a[0], b[0])
    intersection = np.minimum(a[3], b[3])
    intersection -= np.maximum(a[1], b[1])
    intersection *= np.maximum(width, 0, out=width)
    union = np.add(a[4], b[4], out=width)
    union -= intersection
    return np.divide(intersection, union, out=intersection) > iou_threshold
