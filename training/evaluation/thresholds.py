"""What a detector finds, and what it invents, above a threshold: precision, recall, and recall by size of the face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from training.coco_format import CocoSplit
from training.evaluation.coco import detection_rows, matched
from training.evaluation.curves import IOU_THRESHOLD, SIDES_PX
from tritonface_server.detections import Detections

NEVER = -1.0  # the score of what finds a face that is not found
CANDIDATES = np.arange(1, 100) / 100  # thresholds among which the best one is looked for


@dataclass(frozen=True)
class Matches:
    """The detections in all photos against the annotated faces, as COCO matches them at IoU 0.5.

    A detection at an ignored face counts neither way and is left out.

    Attributes:
        scores: float64 [K], of the detections.
        found: bool [K], whether they find a face; no face is found twice.
        face_scores: float64 [G], of what finds each face, `NEVER` if nothing does.
        sides_px: float64 [G], the square root of each face's area, in pixels of the photo.
    """

    scores: np.ndarray
    found: np.ndarray
    face_scores: np.ndarray
    sides_px: np.ndarray


def match_faces(split: CocoSplit, detections: Mapping[int, Detections]) -> Matches:
    """Match the detections; arguments and errors are those of `training.evaluation.coco.evaluate_coco`."""
    rows = detection_rows(split, detections)
    kept = [image.areas_px[~image.ignored] for image in split.images]
    if not rows:
        areas_px = np.concatenate([np.zeros(0), *kept])
        return Matches(np.zeros(0), np.zeros(0, bool), np.full(len(areas_px), NEVER), np.sqrt(areas_px))
    whole = {"areaRng": [[0, SIDES_PX[-1] ** 2]], "areaRngLbl": ["all"]}
    evaluation = matched(split, rows, iouThrs=np.array([IOU_THRESHOLD]), **whole)
    scores, found, face_scores, sides_px = ([np.zeros(0)] for _ in range(4))
    for photo in filter(None, evaluation.evalImgs):  # None: neither a face nor a detection
        counts, score_of = ~photo["dtIgnore"][0].astype(bool), dict(zip(photo["dtIds"], photo["dtScores"]))
        scores.append(np.array(photo["dtScores"], float)[counts])
        found.append(photo["dtMatches"][0][counts] > 0)
        faces = np.flatnonzero(~np.array(photo["gtIgnore"], bool))
        face_scores.append(np.array([score_of.get(int(photo["gtMatches"][0][face]), NEVER) for face in faces], float))
        sides_px.append(np.sqrt([evaluation.cocoGt.anns[photo["gtIds"][face]]["area"] for face in faces]))
    return Matches(
        np.concatenate(scores),
        np.concatenate(found).astype(bool),
        np.concatenate(face_scores),
        np.concatenate(sides_px),
    )


def precision_recall(matches: Matches, threshold: float) -> tuple[float, float]:
    """Of the detections with a score above the threshold, and of the faces; precision is 1 if there are none."""
    shown = matches.scores > threshold
    precision = float(matches.found[shown].mean()) if shown.any() else 1.0
    return precision, float((matches.face_scores > threshold).mean()) if len(matches.face_scores) else 0.0


def f1(matches: Matches, threshold: float) -> float:
    """The harmonic mean of precision and recall at a threshold."""
    precision, recall = precision_recall(matches, threshold)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def best_threshold(matches: Matches) -> float:
    """The threshold of the highest F1 among `CANDIDATES`; the lowest of equals."""
    return float(CANDIDATES[int(np.argmax([f1(matches, threshold) for threshold in CANDIDATES]))])


def recall_by_size(matches: Matches, threshold: float) -> list[float | None]:
    """Recall among the faces of each size class of `SIDES_PX`, None for a class without faces."""
    classes = [(low <= matches.sides_px) & (matches.sides_px < high) for low, high in pairwise(SIDES_PX)]
    return [float((matches.face_scores[faces] > threshold).mean()) if faces.any() else None for faces in classes]
