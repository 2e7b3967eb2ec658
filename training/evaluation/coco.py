"""Average precision of detections against COCO annotations, by pycocotools, quietly."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from training.coco_format import CocoSplit

IOU_50, IOU_75 = 0, 5  # indices into COCO's IoU thresholds .50, .55 .. .95
AREAS = ("all", "small", "medium", "large")  # COCO's size classes: up to 32² px, up to 96² px, above
METRICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR")
MAX_DETECTIONS = 100  # per image, as COCO counts
CATEGORY_ID = 1  # there is one, whatever its id in the file
NO_FACES = -1.0  # COCO's figure where nothing is annotated


def evaluate_coco(split: CocoSplit, detections: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """COCO's figures for the detections of one category on all images of a split.

    Ignored annotations are neither found nor missed: a detection inside one does not count. COCO judges the 100 best
    detections of an image.

    Args:
        detections: image id -> (boxes float [K, 4] xmin, ymin, xmax, ymax in pixels of the image, scores float [K]);
            an image that is not there has no detections.

    Returns:
        `METRICS`, 0 to 1; -1 for a size of which nothing is annotated. All are 0 if there are no detections at all.

    Raises:
        ValueError: boxes and scores of different length, or an unknown image id.
    """
    rows = detection_rows(split, detections)
    if not rows:
        return dict.fromkeys(METRICS, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = ground_truth(split)
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, :, 0]  # [IoU thresholds, recalls, areas]
    recall = evaluation.eval["recall"][:, 0, :, 0]  # [IoU thresholds, areas]
    figures = {"AP": precision[:, :, 0], "AP50": precision[IOU_50, :, 0], "AP75": precision[IOU_75, :, 0]}
    figures |= {f"AP_{area}": precision[:, :, index] for index, area in enumerate(AREAS) if index}
    figures["AR"] = recall[:, 0]
    return {name: _mean(figures[name]) for name in METRICS}


def ground_truth(split: CocoSplit) -> COCO:
    """A split as pycocotools wants it: ids from 1, as it takes 0 for "no match", and ignored boxes are crowds."""
    truth = COCO()
    annotations: list[dict[str, Any]] = []
    for image in split.images:
        for box, area_px, ignored in zip(image.boxes_xyxy_px.tolist(), image.areas_px.tolist(), image.ignored.tolist()):
            row = {"id": len(annotations) + 1, "image_id": image.id, "category_id": CATEGORY_ID, "area": area_px}
            annotations.append({**row, "bbox": _xywh(box), "iscrowd": int(ignored)})
    truth.dataset = {
        "images": [{"id": image.id} for image in split.images],
        "annotations": annotations,
        "categories": [{"id": CATEGORY_ID}],
    }
    truth.createIndex()
    return truth


def detection_rows(split: CocoSplit, detections: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    """Detections as COCO result rows; ValueError for an image that is not annotated or unequal lengths."""
    image_ids, rows = {image.id for image in split.images}, []
    for image_id, (boxes_xyxy_px, scores) in detections.items():
        if image_id not in image_ids:
            raise ValueError(f"there are detections for image {image_id}, which is not among the annotated images")
        if len(boxes_xyxy_px) != len(scores):
            raise ValueError(f"image {image_id} has {len(boxes_xyxy_px)} boxes and {len(scores)} scores; give one each")
        for box, score in zip(np.asarray(boxes_xyxy_px, float).tolist(), scores):
            row = {"image_id": image_id, "category_id": CATEGORY_ID, "bbox": _xywh(box), "score": float(score)}
            rows.append(row)
    return rows


def _xywh(box_xyxy: list[float]) -> list[float]:
    left, top, right, bottom = box_xyxy
    return [left, top, right - left, bottom - top]


def _mean(values: np.ndarray) -> float:
    valid = values[values > NO_FACES]
    return float(valid.mean()) if valid.size else NO_FACES
