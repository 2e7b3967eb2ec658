"""Average precision of detections against COCO annotations, by pycocotools, quietly."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

IOU_50, IOU_75 = 0, 5  # indices into COCO's IoU thresholds .50, .55 .. .95
AREAS = ("all", "small", "medium", "large")  # COCO's size classes: up to 32² px, up to 96² px, above
METRICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR")
MAX_DETECTIONS = 100  # per image, as COCO counts
NO_FACES = -1.0  # COCO's figure where nothing is annotated


def evaluate_coco(annotations_json: Path, detections: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """COCO's figures for the detections of one category on all images of an annotation file.

    Annotations marked `iscrowd` or `ignore` are neither found nor missed: a detection inside one does not count.
    COCO judges the 100 best detections of an image.

    Args:
        annotations_json: a COCO file with one category.
        detections: image id -> (boxes float [K, 4] xmin, ymin, xmax, ymax in pixels of the image, scores float [K]);
            an image that is not there has no detections.

    Returns:
        `METRICS`, 0 to 1; -1 for a size of which nothing is annotated. All are 0 if there are no detections at all.

    Raises:
        ValueError: not exactly one category, boxes and scores of different length, or an unknown image id.
    """
    annotations = read_annotations(annotations_json)
    category_id = only_category(annotations, annotations_json)
    rows = detection_rows(detections, {image["id"] for image in annotations["images"]}, category_id)
    if not rows:
        return dict.fromkeys(METRICS, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = annotations
        truth.createIndex()
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


def read_annotations(path: Path) -> dict:
    """A COCO annotation file as pycocotools wants it: ignored boxes are crowds, every box has an area."""
    annotations = json.loads(Path(path).read_text())
    for annotation in annotations["annotations"]:
        # pycocotools reads only `iscrowd` and overwrites `ignore` with it.
        annotation["iscrowd"] = int(bool(annotation.get("iscrowd") or annotation.get("ignore")))
        annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
    return annotations


def only_category(annotations: dict, path: Path) -> int:
    """The id of the one category; ValueError if there are more or none."""
    categories = annotations["categories"]
    if len(categories) != 1:
        names = ", ".join(str(category["name"]) for category in categories) or "none"
        raise ValueError(
            f"{path} must have exactly one category, it has {len(categories)} ({names}); remove the others"
        )
    return categories[0]["id"]


def detection_rows(
    detections: Mapping[int, tuple[np.ndarray, np.ndarray]], image_ids: set[int], category_id: int
) -> list[dict]:
    """Detections as COCO result rows; ValueError for an image that is not annotated or unequal lengths."""
    rows = []
    for image_id, (boxes_xyxy_px, scores) in detections.items():
        if image_id not in image_ids:
            raise ValueError(f"there are detections for image {image_id}, which is not among the annotated images")
        if len(boxes_xyxy_px) != len(scores):
            raise ValueError(f"image {image_id} has {len(boxes_xyxy_px)} boxes and {len(scores)} scores; give one each")
        for (left, top, right, bottom), score in zip(np.asarray(boxes_xyxy_px, float).tolist(), scores):
            box = [left, top, right - left, bottom - top]
            rows.append({"image_id": image_id, "category_id": category_id, "bbox": box, "score": float(score)})
    return rows


def _mean(values: np.ndarray) -> float:
    valid = values[values > NO_FACES]
    return float(valid.mean()) if valid.size else NO_FACES
