"""Last step: raw boxes and scores in, detections in original-image pixels out."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tritonface_server.detections import Detections, select_detections
from tritonface_server.detector import NmsSettings
from tritonface_server.steps.parameters import read_parameters


class TritonPythonModel:
    """Triton's interface; detections of a request are padded with zeros to its fullest image."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = read_parameters(args["model_config"])
        self.settings = NmsSettings(**parameters["nms"])
        self.default_threshold = parameters["score_threshold"]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        boxes = pb_utils.get_input_tensor_by_name(request, "boxes").as_numpy()  # [B, A, 4]
        scores = pb_utils.get_input_tensor_by_name(request, "scores").as_numpy()  # [B, A]
        sizes_wh = pb_utils.get_input_tensor_by_name(request, "sizes_wh").as_numpy()  # [B, 2, 2]
        thresholds = self._thresholds(request, len(boxes))
        if not np.all((thresholds >= 0) & (thresholds <= 1)):  # NaN fails both comparisons
            message = f"threshold must lie between 0 and 1, got {thresholds.tolist()}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
        return _response([self._select(*image) for image in zip(boxes, scores, sizes_wh, thresholds)])

    def _thresholds(self, request: Any, count: int) -> np.ndarray:
        tensor = pb_utils.get_input_tensor_by_name(request, "threshold")
        return np.full(count, self.default_threshold) if tensor is None else tensor.as_numpy()[:, 0]

    def _select(self, boxes: np.ndarray, scores: np.ndarray, sizes_wh: np.ndarray, threshold: float) -> Detections:
        original_wh, network_wh = sizes_wh
        if not network_wh.any():  # the image could not be decoded, see preprocess
            return Detections.none()
        return select_detections(
            boxes,
            scores,
            network_size_wh=network_wh,
            original_size_wh=original_wh,
            threshold=threshold,
            settings=self.settings,
        )


def _response(images: list[Detections]) -> Any:
    counts = np.array([[len(image.scores)] for image in images], np.int32)
    most = int(counts.max())
    boxes = np.zeros((len(images), most, 4), np.float32)
    scores = np.zeros((len(images), most), np.float32)
    classes = np.zeros((len(images), most), np.int32)
    for i, image in enumerate(images):
        count = len(image.scores)
        boxes[i, :count], scores[i, :count], classes[i, :count] = image.boxes_xyxy_px, image.scores, image.class_ids
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("num_detections", counts),
            pb_utils.Tensor("detection_boxes", boxes),
            pb_utils.Tensor("detection_scores", scores),
            pb_utils.Tensor("detection_classes", classes),
        ]
    )
