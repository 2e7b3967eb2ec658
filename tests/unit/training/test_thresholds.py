"""Precision and recall at thresholds, against counting by hand and against COCO's own curve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.test_coco import FAR, LARGE, MEDIUM, NOTHING, SMALL, annotations, detected
from training.evaluation.coco import evaluate_coco
from training.evaluation.thresholds import best_threshold, f1, match_faces, precision_recall, recall_by_size


@pytest.mark.parametrize("nothing", [{}, {1: NOTHING}])
def test_no_detections_at_all(tmp_path: Path, nothing: dict) -> None:
    matches = match_faces(annotations(tmp_path, [[{"bbox": LARGE}], []]), nothing)
    assert precision_recall(matches, 0.0) == (1.0, 0.0)
    assert f1(matches, 0.5) == 0
    assert recall_by_size(matches, 0.5) == [None, None, None, None, 0.0]


def test_counted_by_hand(tmp_path: Path) -> None:
    """Two of three faces are found, one of them twice; a box at an ignored face counts neither way."""
    ignored = {"bbox": [300, 300, 50, 50], "iscrowd": 1}
    split = annotations(tmp_path, [[{"bbox": SMALL}, {"bbox": LARGE}, ignored], [{"bbox": MEDIUM}], []])
    boxes = (LARGE, LARGE, FAR, SMALL, ignored["bbox"])
    matches = match_faces(split, {1: detected(*boxes, scores=[0.9, 0.8, 0.6, 0.4, 0.95]), 3: detected(FAR)})
    assert sorted(matches.scores.tolist()) == pytest.approx([0.4, 0.6, 0.8, 0.9, 0.9])
    assert precision_recall(matches, 0.3) == pytest.approx((2 / 5, 2 / 3))
    assert precision_recall(matches, 0.5) == pytest.approx((1 / 4, 1 / 3))
    assert precision_recall(matches, 0.9) == (1, 0)  # strictly above
    assert recall_by_size(matches, 0.3) == [None, None, 1, 0, 1]
    assert recall_by_size(matches, 0.5) == [None, None, 0, 0, 1]
    assert best_threshold(matches) == 0.01 and f1(matches, 0.01) == pytest.approx(0.5)


def test_the_points_lie_on_cocos_curve(tmp_path: Path) -> None:
    """AP50 from precision and recall at every score, with COCO's envelope and its 101 recalls."""
    rng = np.random.default_rng(0)
    faces = [np.hstack([rng.random((6, 2)) * 400, 8 + rng.random((6, 2)) * 90]) for _ in range(8)]
    split = annotations(tmp_path, [[{"bbox": box.tolist()} for box in boxes] for boxes in faces])
    detections = {}
    for number, boxes in enumerate(faces, start=1):
        moved = detected(*(boxes + rng.normal(0, 6, boxes.shape)), FAR)
        detections[number] = replace(moved, scores=rng.random(len(moved.scores)))
    matches = match_faces(split, detections)
    points = [precision_recall(matches, score - 1e-9) for score in sorted(matches.scores)]
    at_recalls = [max((p for p, r in points if r >= recall), default=0) for recall in np.linspace(0, 1, 101)]
    assert 0.2 < np.mean(at_recalls) < 0.9
    assert np.mean(at_recalls) == pytest.approx(evaluate_coco(split, detections)["AP50"], abs=1e-6)
