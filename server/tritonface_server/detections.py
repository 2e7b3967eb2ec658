"""Raw network output to detections in original-image pixels: threshold, NMS, scale back, clip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tritonface_server.detector import NmsSettings
from tritonface_server.nms import nms


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
    network_size_wh: tuple[int, int],
    original_size_wh: tuple[int, int],
    threshold: float,
    settings: NmsSettings,
) -> Detections:
    """Choose, scale and clip the detections of one picture.

    The caller's threshold is applied before NMS: every box above it can only be suppressed by a better one,
    so the result is the same as afterwards, for less work.

    Args:
        raw_boxes_xyxy_px: float32 [A, 4] in pixels of the network's input.
        raw_scores: float32 [A].
        threshold: scores <= this are dropped; the detector's own floor applies below it.
    """
    floor = max(threshold, settings.score_threshold)
    kept = nms(raw_boxes_xyxy_px, raw_scores, replace(settings, score_threshold=floor))
    scale_xy = np.asarray(original_size_wh, np.float32) / np.asarray(network_size_wh, np.float32)
    boxes = raw_boxes_xyxy_px[kept] * np.tile(scale_xy, 2)
    np.clip(boxes, 0, np.tile(np.asarray(original_size_wh, np.float32), 2), out=boxes)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    scores = raw_scores[kept][inside]
    return Detections(boxes[inside], scores, np.zeros(len(scores), np.int32))
