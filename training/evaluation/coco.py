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
from tritonface_server.detections import Detections

IOU_50, IOU_75 = 0, 5  # indices into COCO's IoU thresholds .50, .55 .. .95
AREAS = ("all", "small", "medium", "large")  # COCO's size classes: up to 32² px, up to 96² px, above
METRICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR")
MAX_DETECTIONS = 100  # per image, as COCO counts
FIRST_CATEGORY = 1  # ids are counted from here in the order of the classes, whatever they are in the file
NO_FACES = -1.0  # COCO's figure where nothing is annotated


def evaluate_coco(split: CocoSplit, detections: Mapping[int, Detections]) -> dict[str, float]:
    """COCO's figures for the detections on all images of a split: the means of the classes that are annotated.

    Arguments, figures and errors are those of `evaluate_classes`.
    """
    return evaluate_classes(split, detections)[0]


def evaluate_classes(
    split: CocoSplit, detections: Mapping[int, Detections]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The means, and the figures of each class by its name.

    Ignored annotations are neither found nor missed: a detection inside one does not count. COCO judges the 100 best
    detections of an image.

    Args:
        detections: by image id, their class ids being those of the split; an image that is not there has none.

    Returns:
        `METRICS`, 0 to 1; -1 for a size or a class of which nothing is annotated. All are 0 if there are no detections
        at all.

    Raises:
        ValueError: boxes and scores of different length, or an unknown image id.
    """
    rows = detection_rows(split, detections)
    if not rows:
        return dict.fromkeys(METRICS, 0.0), {name: dict.fromkeys(METRICS, 0.0) for name in split.class_names}
    evaluation = matched(split, rows)
    precision = evaluation.eval["precision"][..., 0]  # [IoU thresholds, recalls, classes, areas]
    recall = evaluation.eval["recall"][..., 0]  # [IoU thresholds, classes, areas]
    of_class = (
        _figures(precision[:, :, [class_id]], recall[:, [class_id]]) for class_id in range(len(split.class_names))
    )
    return _figures(precision, recall), dict(zip(split.class_names, of_class))


def matched(split: CocoSplit, rows: list[dict[str, Any]], **params: Any) -> COCOeval:
    """Detections matched with the annotated faces and counted, as COCO does it.

    Args:
        rows: of `detection_rows`, one at least.
        params: what differs from COCO's own, attributes of `pycocotools.cocoeval.Params`.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _ground_truth(split)
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        for name, value in {"maxDets": [MAX_DETECTIONS], **params}.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _figures(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """`METRICS` from precision [IoU thresholds, recalls, classes, areas] and recall, without that axis."""
    figures = {"AP": precision[..., 0], "AP50": precision[IOU_50, ..., 0], "AP75": precision[IOU_75, ..., 0]}
    figures |= {f"AP_{area}": precision[..., index] for index, area in enumerate(AREAS) if index}
    figures["AR"] = recall[..., 0]
    return {name: mean_of_annotated(figures[name]) for name in METRICS}


def _ground_truth(split: CocoSplit) -> COCO:
    """A split as pycocotools wants it: ids from 1, as it takes 0 for "no match", and ignored boxes are crowds."""
    truth = COCO()
    annotations: list[dict[str, Any]] = []
    for image in split.images:
        columns = (image.boxes_xyxy_px, image.class_ids + FIRST_CATEGORY, image.areas_px, image.ignored)
        for box, category_id, area_px, ignored in zip(*(column.tolist() for column in columns)):
            row = {"id": len(annotations) + 1, "image_id": image.id, "category_id": category_id, "area": area_px}
            annotations.append({**row, "bbox": _xywh(box), "iscrowd": int(ignored)})
    truth.dataset = {
        "images": [{"id": image.id} for image in split.images],
        "annotations": annotations,
        "categories": [{"id": FIRST_CATEGORY + class_id} for class_id in range(len(split.class_names))],
    }
    truth.createIndex()
    return truth


def detection_rows(split: CocoSplit, detections: Mapping[int, Detections]) -> list[dict[str, Any]]:
    """Detections as COCO result rows; ValueError for an image that is not annotated or unequal lengths."""
    image_ids, rows = {image.id for image in split.images}, []
    for image_id, found in detections.items():
        boxes_xyxy_px, scores = found.boxes_xyxy_px, found.scores
        if image_id not in image_ids:
            raise ValueError(f"there are detections for image {image_id}, which is not among the annotated images")
        if len(boxes_xyxy_px) != len(scores):
            raise ValueError(f"image {image_id} has {len(boxes_xyxy_px)} boxes and {len(scores)} scores; give one each")
        categories = (found.class_ids + FIRST_CATEGORY).tolist()
        for box, score, category_id in zip(np.asarray(boxes_xyxy_px, float).tolist(), scores, categories):
            row = {"image_id": image_id, "category_id": category_id, "bbox": _xywh(box), "score": float(score)}
            rows.append(row)
    return rows


def _xywh(box_xyxy: list[float]) -> list[float]:
    left, top, right, bottom = box_xyxy
    return [left, top, right - left, bottom - top]


def mean_of_annotated(values: np.ndarray) -> float:
    """The mean without those entries that are -1 because nothing is annotated; -1 if that leaves none."""
    valid = values[values > NO_FACES]
    return float(valid.mean()) if valid.size else NO_FACES
