"""All figures of one detector on annotated photos, from its detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.coco_format import CocoSplit
from training.evaluation.coco import evaluate_coco
from training.evaluation.curves import measure_curves
from training.evaluation.thresholds import best_threshold, f1, match_faces, precision_recall, recall_by_size
from tritonface_server.detections import Detections

THRESHOLDS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Figures:
    """What the report says of one way to detect.

    Attributes:
        threshold: what is shown if nobody says otherwise, or `best`.
        ap, ap50: COCO's average precisions.
        at: threshold -> precision and recall, of `THRESHOLDS` and the `threshold`.
        f1: at the `threshold`.
        best, best_f1: the threshold of the highest F1 on these photos, and that F1.
        recall_by_size: side of the face in the photo -> recall at the `threshold`; None without such faces.
        curve: precision at recall 0, .01 .. 1.
    """

    threshold: float
    ap: float
    ap50: float
    at: dict[float, tuple[float, float]]
    f1: float
    best: float
    best_f1: float
    recall_by_size: dict[str, float | None]
    curve: list[float]


def figures_of(split: CocoSplit, detections: Mapping[int, Detections], threshold: float | None) -> Figures:
    """Measure detections of one class, by image id, at their own threshold or, if None, at the best on these photos."""
    coco, curves = evaluate_coco(split, detections), measure_curves(split, detections)
    (curve,) = curves.precision.values()
    matches = match_faces(split, detections)
    best = best_threshold(matches)
    threshold = best if threshold is None else threshold
    return Figures(
        threshold=threshold,
        ap=coco["AP"],
        ap50=coco["AP50"],
        at={each: precision_recall(matches, each) for each in sorted({*THRESHOLDS, threshold})},
        f1=f1(matches, threshold),
        best=best,
        best_f1=f1(matches, best),
        recall_by_size=dict(zip([size.name for size in curves.sizes], recall_by_size(matches, threshold))),
        curve=curve.tolist(),
    )
