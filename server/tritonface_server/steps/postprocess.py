"""Last step: raw boxes and scores in, detections in original-image pixels out."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tritonface_server.admission import Ledger, server_name
from tritonface_server.detections import Detections, classes_of, select_detections
from tritonface_server.detector import NmsSettings
from tritonface_server.limits import MAX_SIDE_PX
from tritonface_server.metrics import FACES_FOUND, IMAGES_DECODED
from tritonface_server.steps.answers import DECLINED, RequestError, check_awaited, check_bytes
from tritonface_server.steps.parameters import read_parameters
from tritonface_server.steps.report import StepReport
from tritonface_server.tiles import merge

Sizes = list[list[int]]
"""(width, height) of an image and of what the network sees of it."""


class TritonPythonModel:
    """Triton's interface; detections of a request are padded with zeros to its fullest image.

    Where `tile_xy` says so, its pictures are an image and its tiles, and the answer is that of the image.

    What preprocessing says of each image is passed on, so that an answer's tensors all come from the last step.
    """

    def initialize(self, args: dict[str, str]) -> None:
        parameters = read_parameters(args["model_config"])
        self.settings = NmsSettings(**parameters["nms"])
        self.default_threshold = parameters["score_threshold"]
        self.ledger = Ledger(server_name())
        self.report = StepReport(args["model_name"], self.ledger.under_way)

    def finalize(self) -> None:
        self.report.close()
        self.ledger.close()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        ticket = pb_utils.get_input_tensor_by_name(request, "ticket")
        try:
            return self._found(request)
        except DECLINED as error:
            return self.report.declined(request, error)
        finally:
            if ticket is not None:
                self.ledger.give_back(int(ticket.as_numpy()[0, 0]))

    def _found(self, request: Any) -> Any:
        boxes, scores, sizes = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("boxes", "scores", "sizes_wh")
        )  # [B, A, 4], [B, A * C], [B, 2, 2]
        sizes_wh = sizes.tolist()  # a few numbers: without numpy, whose calls take 5 to 10 us where all has gone cold
        _check_candidates(boxes, scores, sizes_wh)
        tiles = pb_utils.get_input_tensor_by_name(request, "tile_xy")
        self.report.count(IMAGES_DECODED, sum(map(_is_there, sizes_wh)) if tiles is None else 1)
        thresholds = self._thresholds(request, len(boxes))
        if not all(0 <= threshold <= 1 for threshold in thresholds):  # NaN fails both comparisons
            raise RequestError(f"threshold must lie between 0 and 1, got {thresholds}")
        images: list[Detections] = []
        for image in zip(boxes, scores, sizes_wh, thresholds):
            if images:  # Triton itself has looked before the first; asking it takes .1 ms
                check_awaited(request)
            images.append(self._select(*image))
        if tiles is not None:
            with self.report.stage("nms"):
                images = [merge(images, tiles.as_numpy(), sizes[:, 0], self.settings)]
        self.report.count(FACES_FOUND, sum(len(image.scores) for image in images))
        tensors = _padded(images)
        for name in ("error", "warning"):
            tensors[name] = _told(request, f"image_{name}", len(boxes))[: len(images)]
        return pb_utils.InferenceResponse([pb_utils.Tensor(*item) for item in tensors.items()])

    def _thresholds(self, request: Any, count: int) -> list[float]:
        tensor = pb_utils.get_input_tensor_by_name(request, "threshold")
        return [self.default_threshold] * count if tensor is None else tensor.as_numpy()[:, 0].tolist()

    def _select(self, boxes: np.ndarray, scores: np.ndarray, sizes_wh: Sizes, threshold: float) -> Detections:
        if not _is_there(sizes_wh):
            return Detections.none()
        original_wh, network_wh = sizes_wh
        with self.report.stage("nms"):
            return select_detections(
                boxes,
                scores,
                network_size_wh=network_wh,
                original_size_wh=original_wh,
                threshold=threshold,
                settings=self.settings,
            )


def _check_candidates(boxes: np.ndarray, scores: np.ndarray, sizes_wh: list[Sizes]) -> None:
    """RequestError for what no network and no preprocessing gives."""
    check_bytes(boxes.nbytes + scores.nbytes, "boxes and scores")
    try:
        classes_of(boxes.shape[1], scores.shape[1])
    except ValueError as error:
        raise RequestError(str(error)) from None
    for (width, height), (network_width, network_height) in sizes_wh:
        sides_px = width, height, network_width, network_height
        if any(sides_px) and not all(1 <= side_px <= MAX_SIDE_PX for side_px in sides_px):
            raise RequestError(
                "sizes_wh are the sizes of the original and of the network's picture, from 1 to "
                f"{MAX_SIDE_PX:,} px a side, or all 0 for an image without any; got {sizes_wh}"
            )


def _is_there(sizes_wh: Sizes) -> bool:
    """Whether the image could be decoded, see preprocess."""
    return sizes_wh[0][0] > 0


def _told(request: Any, name: str, count: int) -> np.ndarray:
    """What preprocessing says of each image, nothing where the step is called without it."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return np.full((count, 1), b"", object) if tensor is None else tensor.as_numpy()


def _padded(images: list[Detections]) -> dict[str, np.ndarray]:
    counts = np.array([[len(image.scores)] for image in images], np.int32)
    most = int(counts.max())
    boxes = np.zeros((len(images), most, 4), np.float32)
    scores = np.zeros((len(images), most), np.float32)
    classes = np.zeros((len(images), most), np.int32)
    for i, image in enumerate(images):
        count = len(image.scores)
        boxes[i, :count], scores[i, :count], classes[i, :count] = image.boxes_xyxy_px, image.scores, image.class_ids
    return {
        "num_detections": counts,
        "detection_boxes": boxes,
        "detection_scores": scores,
        "detection_classes": classes,
    }
