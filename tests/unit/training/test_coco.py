from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.dataset import split_of
from training.coco_format import CocoSplit
from training.evaluation.coco import METRICS, evaluate_classes, evaluate_coco
from tritonface_server.detections import Detections

SMALL, MEDIUM, LARGE = [10, 10, 20, 20], [100, 100, 50, 50], [200, 200, 120, 120]
FAR = [500, 500, 40, 40]


def annotations(folder: Path, images: list[list[dict]], first_id: int = 1) -> CocoSplit:
    """A COCO file with these annotations (`bbox` in x, y, width, height) for images 1, 2, ..."""
    rows = [
        {"iscrowd": 0, "category_id": 1, "area": row["bbox"][2] * row["bbox"][3], **row, "image_id": image_id}
        for image_id, rows in enumerate(images, start=1)
        for row in rows
    ]
    content = {
        "images": [{"id": i + 1, "file_name": f"{i}.jpg", "width": 640, "height": 640} for i in range(len(images))],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows, start=first_id)],
        "categories": [{"id": 1, "name": "face"}, {"id": 3, "name": "mask"}],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return split_of(path)


def detected(
    *boxes_xywh: list[float], scores: list[float] | None = None, class_ids: list[int] | None = None
) -> Detections:
    boxes = np.array(boxes_xywh, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(boxes, np.array(scores or [0.9] * len(boxes)), np.array(class_ids or [0] * len(boxes), np.int32))


NOTHING = detected()


@pytest.mark.parametrize("nothing", [{}, {1: NOTHING}])
def test_no_detections_at_all(tmp_path: Path, nothing: dict) -> None:
    assert evaluate_coco(annotations(tmp_path, [[{"bbox": LARGE}]]), nothing) == dict.fromkeys(METRICS, 0.0)


def test_perfect_detections(tmp_path: Path) -> None:
    split = annotations(tmp_path, [[{"bbox": SMALL}, {"bbox": LARGE}], [{"bbox": MEDIUM}], []])
    figures = evaluate_coco(split, {1: detected(SMALL, LARGE), 2: detected(MEDIUM)})
    assert figures == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_half_of_the_faces_found(tmp_path: Path) -> None:
    split = annotations(tmp_path, [[{"bbox": SMALL}], [{"bbox": LARGE}]])
    figures = evaluate_coco(split, {2: detected(LARGE)})
    assert figures["AR"] == 0.5
    assert figures["AP"] == pytest.approx(51 / 101)  # precision 1 at the recalls 0, .01 .. .5 out of 0 .. 1
    assert (figures["AP_small"], figures["AP_large"]) == (0, pytest.approx(1))
    assert figures["AP_medium"] == -1  # nothing of that size is annotated


def test_a_box_that_overlaps_by_seven_tenths(tmp_path: Path) -> None:
    split = annotations(tmp_path, [[{"bbox": [0, 0, 100, 100]}]])
    figures = evaluate_coco(split, {1: detected([0, 0, 100, 71])})
    assert (figures["AP50"], figures["AP75"]) == (pytest.approx(1), 0)
    assert figures["AP"] == pytest.approx(0.5)  # .50, .55, .60, .65, .70 of ten thresholds


def test_a_better_scored_false_box_halves_the_precision(tmp_path: Path) -> None:
    split = annotations(tmp_path, [[{"bbox": LARGE}]])
    assert evaluate_coco(split, {1: detected(FAR, LARGE, scores=[0.9, 0.8])})["AP"] == pytest.approx(0.5)
    assert evaluate_coco(split, {1: detected(FAR, LARGE, scores=[0.8, 0.9])})["AP"] == pytest.approx(1)


@pytest.mark.parametrize("mark", ["iscrowd", "ignore"])
def test_crowd_and_ignored_faces_count_neither_way(tmp_path: Path, mark: str) -> None:
    split = annotations(tmp_path, [[{"bbox": LARGE}, {"bbox": FAR, mark: 1}]])
    (tmp_path / "unmarked").mkdir()
    unmarked = annotations(tmp_path / "unmarked", [[{"bbox": LARGE}, {"bbox": FAR}]])
    assert evaluate_coco(split, {1: detected(FAR, LARGE, scores=[0.9, 0.8])})["AP"] == pytest.approx(1)
    assert evaluate_coco(split, {1: detected(LARGE)})["AP"] == pytest.approx(1)
    assert evaluate_coco(unmarked, {1: detected(LARGE)})["AP"] == pytest.approx(51 / 101)


def test_sizes_are_told_by_the_annotated_areas_or_those_of_the_boxes(tmp_path: Path) -> None:
    for area, metric in ((None, "AP_large"), (400, "AP_small")):
        split = annotations(tmp_path, [[{"bbox": LARGE, "area": area}]])
        assert evaluate_coco(split, {1: detected(LARGE)})[metric] == pytest.approx(1)


@pytest.mark.fault("B11")
@pytest.mark.parametrize("first_id", [0, 1, -1, 10**12])
def test_annotation_ids_may_be_any_numbers(tmp_path: Path, first_id: int) -> None:
    split = annotations(tmp_path, [[{"bbox": SMALL}, {"bbox": LARGE}], [{"bbox": MEDIUM}]], first_id=first_id)
    figures = evaluate_coco(split, {1: detected(SMALL, LARGE), 2: detected(MEDIUM)})
    assert figures == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_it_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    evaluate_coco(annotations(tmp_path, [[{"bbox": LARGE}]]), {1: detected(LARGE)})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_file_gets_the_figures_of_pycocotools_itself(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def boxes(count: int) -> np.ndarray:
        corners = rng.uniform(0, 500, (count, 2))
        return np.hstack([corners, rng.uniform(4, 140, (count, 2))]).round(2)  # x, y, width, height

    rows = [[{"bbox": box, "iscrowd": int(rng.random() < 0.1)} for box in boxes(6).tolist()] for _ in range(8)]
    split = annotations(tmp_path, rows)
    found, results = {}, []
    for image_id, faces in enumerate(rows, start=1):
        near = np.array([face["bbox"] for face in faces]) + rng.normal(0, 4, (6, 4))
        near[:, 2:] = near[:, 2:].clip(2)
        xywh, scores = np.vstack([near, boxes(3)]), rng.random(9)
        corners = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])
        found[image_id] = Detections(corners, scores, np.zeros(len(scores), np.int32))
        for box, score in zip(xywh.tolist(), scores.tolist()):
            results.append({"image_id": image_id, "category_id": 1, "bbox": box, "score": score})
    truth = COCO(tmp_path / "instances.json")
    reference = COCOeval(truth, truth.loadRes(results), "bbox")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    names = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
    figures = evaluate_coco(split, found)
    assert 0 < figures["AP"] < 1
    assert [figures[name] for name in names] == pytest.approx(reference.stats[:6].tolist(), abs=1e-9)
    assert figures["AR"] == pytest.approx(reference.stats[8], abs=1e-9)


def test_a_class_is_judged_by_its_own_faces(tmp_path: Path) -> None:
    """Two faces without a mask and one with; the latter is found as both, once with a higher score."""
    split = annotations(tmp_path, [[{"bbox": SMALL}, {"bbox": LARGE, "category_id": 3}], [{"bbox": MEDIUM}]])
    assert split.class_names == ("face", "mask")
    found = {1: detected(SMALL, LARGE, LARGE, scores=[0.9, 0.8, 0.7], class_ids=[0, 0, 1]), 2: detected(MEDIUM)}
    figures, by_class = evaluate_classes(split, found)
    face = by_class["face"]["AP"]
    assert face == pytest.approx(1) and by_class["mask"]["AP"] == pytest.approx(1)
    swapped = {1: replace(found[1], class_ids=1 - found[1].class_ids), 2: found[2]}
    figures, by_class = evaluate_classes(split, swapped)
    assert (by_class["mask"]["AP"], by_class["mask"]["AP_small"]) == (pytest.approx(0.5), -1)
    assert by_class["face"]["AP"] == pytest.approx(51 / 101)  # one of two faces is found
    assert figures["AP"] == pytest.approx((by_class["face"]["AP"] + by_class["mask"]["AP"]) / 2)
    assert evaluate_classes(split, {}) == (
        dict.fromkeys(METRICS, 0.0),
        {name: dict.fromkeys(METRICS, 0.0) for name in split.class_names},
    )


def test_the_figures_of_each_class_are_those_of_its_faces_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (40, 2))
    xywh = np.hstack([corners, rng.uniform(20, 120, (40, 2))]).round(2)
    classes = rng.integers(0, 2, 40)
    rows = [{"bbox": box, "category_id": (1, 3)[c]} for box, c in zip(xywh.tolist(), classes)]
    images = [rows[i : i + 5] for i in range(0, 40, 5)]
    found = {}
    for number in range(8):
        own = slice(5 * number, 5 * number + 5)
        moved = (xywh[own] + rng.normal(0, 6, (5, 4))).clip(2).tolist()
        guessed = np.where(rng.random(5) < 0.8, classes[own], 1 - classes[own])
        found[number + 1] = detected(*moved, scores=rng.random(5).tolist(), class_ids=guessed.tolist())
    split = annotations(tmp_path, images)
    figures, by_class = evaluate_classes(split, found)
    for class_id, name in enumerate(split.class_names):
        (tmp_path / name).mkdir()
        kept = [
            [{**row, "category_id": 1} for row in rows if row["category_id"] == (1, 3)[class_id]] for rows in images
        ]
        alone = {
            number: detected(
                *[(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in each.boxes_xyxy_px[mask].tolist()],
                scores=each.scores[mask].tolist(),
            )
            for number, each in found.items()
            for mask in [each.class_ids == class_id]
        }
        expected = evaluate_coco(annotations(tmp_path / name, kept), alone)
        assert by_class[name] == pytest.approx(expected, abs=1e-6)
    assert 0 < by_class["face"]["AP"] != by_class["mask"]["AP"]
    assert figures["AP50"] == pytest.approx(np.mean([each["AP50"] for each in by_class.values()]))


def test_what_it_refuses(tmp_path: Path) -> None:
    split = annotations(tmp_path, [[{"bbox": LARGE}]])
    with pytest.raises(ValueError, match="image 7, which is not among"):
        evaluate_coco(split, {7: detected(LARGE)})
    with pytest.raises(ValueError, match="1 boxes and 2 scores"):
        evaluate_coco(split, {1: replace(detected(LARGE), scores=np.ones(2))})
