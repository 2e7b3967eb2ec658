"""Raw network output to detections in original-image pixels: threshold, NMS, scale back, clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritonface_server.detector import NmsSettings
from tritonface_server.inference_yml import EXPORT_ANEW
from tritonface_server.limits import MAX_CLASSES
from tritonface_server.nms import nms_per_class


@dataclass(frozen=True)
class Detections:
    """Faces of one picture, best first.

    Attributes:
        boxes_xyxy_px: float32 [K, 4] in original-image pixels.
        scores: float32 [K].
        class_ids: int32 [K], index into the detector's labels.
    """

    boxes_xyxy_px: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray

    @classmethod
    def none(cls) -> Detections:
        """No face at all."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))


@np.errstate(over="ignore", invalid="ignore")  # boxes of a network that has learned nonsense, clipped in the end
def select_detections(
    raw_boxes_xyxy_px: np.ndarray,
    raw_scores: np.ndarray,
    *,
    network_size_wh: Sequence[int],
    original_size_wh: Sequence[int],
    threshold: float,
    settings: NmsSettings,
) -> Detections:
    """Choose, scale and clip the detections of one picture.

    The caller's threshold is applied before NMS: every box above it can only be suppressed by a better one,
    so the result is the same as afterwards, for less work.

    Args:
        raw_boxes_xyxy_px: float32 [A, 4] in pixels of the network's input.
        raw_scores: float32 [A * C], of C classes; see `classes_of`.
        threshold: scores <= this are dropped; the detector's own floor applies below it.

    Raises:
        ValueError: there are not equally many scores for each box.
    """
    raw_scores = raw_scores.reshape(len(raw_boxes_xyxy_px), classes_of(len(raw_boxes_xyxy_px), len(raw_scores)))
    floor = max(threshold, settings.score_threshold)
    kept, class_ids = nms_per_class(raw_boxes_xyxy_px, raw_scores, replace(settings, score_threshold=floor))
    scale_xy = np.asarray(original_size_wh, np.float32) / np.asarray(network_size_wh, np.float32)
    boxes = raw_boxes_xyxy_px[kept] * np.tile(scale_xy, 2)
    np.clip(boxes, 0, np.tile(np.asarray(original_size_wh, np.float32), 2), out=boxes)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes[inside], raw_scores[kept, class_ids][inside], class_ids[inside])


def without_doubles(found: Detections, settings: NmsSettings) -> Detections:
    """Those of any number of detections that no better one of their class covers, best first."""
    count = len(found.scores)
    scores = np.zeros((count, int(found.class_ids.max(initial=0)) + 1), np.float32)
    scores[np.arange(count), found.class_ids] = found.scores
    kept, class_ids = nms_per_class(found.boxes_xyxy_px, scores, replace(settings, top_k=count, keep_top_k=count))
    return Detections(found.boxes_xyxy_px[kept], found.scores[kept], class_ids)


def classes_of(boxes: int, scores: int) -> int:
    """How many classes a network tells apart that gives so many boxes and scores for a picture.

    Raises:
        ValueError: there are not equally many scores for each box, or more than `MAX_CLASSES`.
    """
    classes = scores // boxes if boxes else 1
    if classes * boxes != scores or not 1 <= classes <= MAX_CLASSES:
        raise ValueError(
            f"{scores} scores an image do not fit {boxes} boxes; each box has one for each class, {MAX_CLASSES} at most"
        )
    return classes


def check_labels(boxes: int, scores: int, labels: Sequence[str]) -> None:
    """ValueError unless a network that gives so many boxes and scores for a picture has as many classes as labels."""
    classes = classes_of(boxes, scores)
    if classes != len(labels):
        raise ValueError(
            f"the network tells {classes} classes apart, and its labels are {', '.join(labels[:5])}"
            f"{', ...' if len(labels) > 5 else ''} ({len(labels)}); {EXPORT_ANEW}"
        )
