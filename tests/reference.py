"""The tests' yardstick: the served pipeline once more, in the plainest way, sharing only facts with the server."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from tests.shipped import network_file
from tritonface_server.detector import Detector, NmsSettings

JPEG = b"\xff\xd8"
REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


class InProcess:
    """Decode, resize, ONNX Runtime, NMS in one process.

    Args:
        scaled: decode JPEGs at 1/2, 1/4 or 1/8 where that still covers the network's input, as the server does; only
            for those whose sides that fraction divides.
    """

    def __init__(self, detector: Detector, network: Path | None = None, scaled: bool = False) -> None:
        self.detector, self.scaled = detector, scaled
        self.session = onnxruntime.InferenceSession(
            network or network_file(detector.name), providers=["CPUExecutionProvider"]
        )
        self._found: dict[tuple[bytes, tuple[int, int]], list[list[float]]] = {}

    def __call__(
        self, encoded: bytes, threshold: float = 0.5, size_wh: tuple[int, int] | None = None
    ) -> list[list[float]]:
        """Rows of [score, xmin, ymin, xmax, ymax], best first."""
        size_wh = size_wh or self.detector.input_size_wh
        if (encoded, size_wh) not in self._found:
            self._found[encoded, size_wh] = self._detect(encoded, *size_wh)
        return [row for row in self._found[encoded, size_wh] if row[0] > threshold]

    def _detect(self, encoded: bytes, network_width: int, network_height: int) -> list[list[float]]:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        height, width = image.shape[:2]
        for fraction, flag in REDUCED.items() if self.scaled and encoded.startswith(JPEG) else ():
            if width >= fraction * network_width and height >= fraction * network_height:
                image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag)
                break
        picture = cv2.resize(image, (network_width, network_height), interpolation=cv2.INTER_CUBIC)
        boxes, scores = (output[0] for output in self.session.run(["boxes", "scores"], {"picture": picture[None]}))
        rows = []
        for i in nms_one_by_one(boxes, scores, self.detector.nms):
            x_min, x_max = (min(max(x * width / network_width, 0), width) for x in boxes[i, [0, 2]].tolist())
            y_min, y_max = (min(max(y * height / network_height, 0), height) for y in boxes[i, [1, 3]].tolist())
            if x_max > x_min and y_max > y_min:
                rows.append([float(scores[i]), x_min, y_min, x_max, y_max])
        return rows


def nms_one_by_one(boxes: np.ndarray, scores: np.ndarray, settings: NmsSettings) -> list[int]:
    """Greedy suppression by its definition: box by box, each against all better survivors."""
    order = [i for i in np.argsort(-scores, kind="stable").tolist() if scores[i] > settings.score_threshold]
    kept: list[int] = []
    for i in order[: settings.top_k]:
        if not (iou_with_each(boxes[i], boxes[kept]) > np.float32(settings.iou_threshold)).any():
            kept.append(i)
    return kept[: settings.keep_top_k]


def nms_class_by_class(boxes: np.ndarray, scores: np.ndarray, settings: NmsSettings) -> list[tuple[int, int]]:
    """Suppression by its definition in each class, scores being [A, C]; the best (class id, index) of all together."""
    pairs = [(c, i) for c in range(scores.shape[1]) for i in nms_one_by_one(boxes, scores[:, c], settings)]
    return sorted(pairs, key=lambda pair: -scores[pair[1], pair[0]])[: settings.keep_top_k]


def iou_with_each(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union, float32 [K]; 0 with an empty box."""
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    areas = [np.maximum(b[..., 2] - b[..., 0], 0) * np.maximum(b[..., 3] - b[..., 1], 0) for b in (box, others)]
    union = areas[0] + areas[1] - intersection
    return np.where(union > 0, intersection / np.where(union > 0, union, 1), np.float32(0))
