"""The WIDER FACE protocol against a plain, slow implementation of it, on ground truth drawn at random."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from perf.photos import FACE_XYXY_PX
from tests.shipped import network_file
from training.evaluation import wider_detect
from training.evaluation.wider import average_precision, evaluate_wider, iou_plus_one, match
from training.evaluation.wider_detect import detect_all
from training.evaluation.wider_files import (
    SUBSETS,
    WiderError,
    WiderImage,
    predictions_file,
    read_ground_truth,
    read_predictions,
    write_predictions,
)
from training.paths import ROOT
from tritonface_server.detections import Detections

NOTHING = np.empty((0, 5))


def image(boxes: list[list[float]], counted: list[bool] | None = None, name: str = "a") -> WiderImage:
    kept = np.array([True] * len(boxes) if counted is None else counted, bool)
    return WiderImage("0--Parade", name, np.array(boxes, float).reshape(-1, 4), dict.fromkeys(SUBSETS, kept))


def drawn_images(rng: np.random.Generator, count: int) -> list[WiderImage]:
    images = []
    for number in range(count):
        faces = int(rng.integers(0, 12))
        boxes = np.column_stack([rng.integers(0, 200, (faces, 2)), rng.integers(1, 60, (faces, 2))]).astype(float)
        counted = {subset: rng.random(faces) < share for subset, share in zip(SUBSETS, (0.2, 0.5, 0.9))}
        images.append(WiderImage(f"{number % 3}--Event", f"picture_{number}", boxes, counted))
    return images


def drawn_detections(rng: np.random.Generator, truth: WiderImage) -> np.ndarray:
    """Shifted faces, some of them twice, and false boxes, in no order."""
    shifted = truth.boxes_xywh_px[rng.random(len(truth.boxes_xywh_px)) < 0.8]
    shifted = np.concatenate([shifted, shifted[::3]]) + rng.normal(0, 3, (len(shifted) + len(shifted[::3]), 4))
    false = np.column_stack([rng.random((4, 2)) * 200, rng.random((4, 2)) * 60])
    boxes = np.concatenate([shifted, false])[rng.permutation(len(shifted) + 4)]
    return np.column_stack([boxes, rng.random(len(boxes)) * 3 - 1])


def slow_figures(images: list[WiderImage], detections: list[np.ndarray]) -> dict[str, float]:
    """The protocol step by step: box by box, threshold by threshold."""
    every_score = [score for rows in detections for score in rows[:, 4].tolist()]
    lowest, highest = min(every_score), max(every_score)
    figures = {}
    for subset in SUBSETS:
        counts, faces = [[0, 0] for _ in range(1000)], 0
        for truth, rows in zip(images, detections):
            faces += int(truth.counted[subset].sum())
            taken = [False] * len(truth.boxes_xywh_px)
            history = []  # (score, faces found so far, detections so far)
            proposals = 0
            for x, y, width, height, score in sorted(rows.tolist(), key=lambda row: -row[4]):
                if not taken:
                    break
                overlaps = []
                for left, top, face_width, face_height in truth.boxes_xywh_px.tolist():
                    across = max(min(x + width, left + face_width) - max(x, left) + 1, 0)
                    down = max(min(y + height, top + face_height) - max(y, top) + 1, 0)
                    areas = (width + 1) * (height + 1) + (face_width + 1) * (face_height + 1)
                    overlaps.append(across * down / (areas - across * down))
                best = overlaps.index(max(overlaps))
                if overlaps[best] < 0.5:
                    proposals += 1
                elif truth.counted[subset][best]:
                    taken[best] = True
                    proposals += 1
                history.append(((score - lowest) / (highest - lowest), sum(taken), proposals))
            for step in range(1000):
                reached = [entry for entry in history if entry[0] >= 1 - (step + 1) / 1000]
                if reached:
                    counts[step][0] += reached[-1][1]
                    counts[step][1] += reached[-1][2]
        curve = [(0.0, 0.0), *((found / faces, found / shown if shown else 0.0) for found, shown in counts), (1.0, 0.0)]
        figures[subset] = sum(
            (curve[i][0] - curve[i - 1][0]) * max(precision for _, precision in curve[i:]) for i in range(1, len(curve))
        )
    return figures


def test_no_images_no_faces_no_detections() -> None:
    zeros = dict.fromkeys(SUBSETS, 0.0)
    assert evaluate_wider([], lambda _: NOTHING) == {**zeros, "images": 0, "detections": 0, "scales": "single scale"}
    assert evaluate_wider([image([])], lambda _: NOTHING).items() >= zeros.items()
    assert evaluate_wider([image([[5, 5, 9, 9]])], lambda _: NOTHING).items() >= zeros.items()
    assert evaluate_wider([image([])], lambda _: np.ones((1, 5))).items() >= {**zeros, "detections": 1}.items()


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_the_protocol_step_by_step(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = drawn_images(rng, 25)
    detections = [NOTHING if number == 3 else drawn_detections(rng, truth) for number, truth in enumerate(images)]
    by_name = {truth.name: rows for truth, rows in zip(images, detections)}
    result = evaluate_wider(images, lambda truth: by_name[truth.name])
    expected = slow_figures(images, detections)
    assert {subset: result[subset] for subset in SUBSETS} == pytest.approx(expected, abs=1e-12)
    assert 0 < expected["easy"] < expected["hard"] < 1


@pytest.mark.parametrize("scores", ["different", "equal"])
def test_the_faces_themselves_are_perfect_detections(scores: str) -> None:
    rng = np.random.default_rng(1)
    images = [
        image([[30 * i, 10, 20, 25] for i in range(count)], (rng.random(count) < 0.6).tolist()) for count in (1, 7, 12)
    ]

    def perfect(truth: WiderImage) -> np.ndarray:
        count = len(truth.boxes_xywh_px)
        return np.column_stack([truth.boxes_xywh_px, rng.random(count) if scores == "different" else np.ones(count)])

    result = evaluate_wider(images, perfect)
    assert {subset: result[subset] for subset in SUBSETS} == pytest.approx(dict.fromkeys(SUBSETS, 1.0), abs=1e-12)


def test_sides_are_longer_by_one() -> None:
    a, b = np.array([[0.0, 0, 9, 9]]), np.array([[5.0, 0, 9, 9], [10, 0, 9, 9], [0, 0, 9, 9]])
    assert iou_plus_one(a, b) == pytest.approx(np.array([[50 / 150, 0, 1]]))
    assert iou_plus_one(NOTHING[:, :4], b).shape == (0, 3)


@pytest.mark.parametrize(
    ("faces", "counted", "found", "proposed"),
    [
        ([[0, 0, 9, 9]], [True], [True, False, False], [True, True, True]),  # the second at a face is false
        ([[0, 0, 9, 9]], [False], [False, False, False], [False, False, True]),  # none at an ignored face is
        ([[0, 0, 9, 9], [50, 50, 9, 9]], [True, False], [True, False, False], [True, True, False]),
    ],
)
def test_match(faces: list[list[float]], counted: list[bool], found: list[bool], proposed: list[bool]) -> None:
    detections = np.array([[0, 0, 9, 9], [1, 0, 9, 9], [50, 50, 9, 9]], float)
    result = match(iou_plus_one(detections, np.array(faces, float)), np.array(counted))
    assert [column.tolist() for column in result] == [found, proposed]


def test_area_under_the_envelope() -> None:
    assert average_precision(np.zeros(0), np.zeros(0)) == 0
    assert average_precision(np.array([1.0, 0.5, 0.75]), np.array([0.25, 0.5, 1.0])) == 0.25 + 0.75 * 0.75


def cells(rows: list) -> np.ndarray:
    """A MATLAB cell array, one column."""
    column = np.empty((len(rows), 1), object)
    for number, row in enumerate(rows):
        column[number, 0] = row
    return column


def write_ground_truth(folder: Path, images: list[WiderImage]) -> None:
    """The four .mat files as the official kit lays them out."""
    events = list(dict.fromkeys(truth.event for truth in images))
    grouped = [[truth for truth in images if truth.event == event] for event in events]
    everything = {
        "event_list": cells(events),
        "file_list": cells([cells([truth.name for truth in group]) for group in grouped]),
        "face_bbx_list": cells([cells([truth.boxes_xywh_px for truth in group]) for group in grouped]),
    }
    scipy.io.savemat(folder / "wider_face_val.mat", everything)
    for subset in SUBSETS:
        indices = [cells([np.flatnonzero(truth.counted[subset])[:, None] + 1 for truth in group]) for group in grouped]
        scipy.io.savemat(folder / f"wider_{subset}_val.mat", everything | {"gt_list": cells(indices)})


def test_files_and_command(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    images = sorted(drawn_images(rng, 8), key=lambda truth: truth.event)
    write_ground_truth(tmp_path, images)
    read = read_ground_truth(tmp_path)
    for truth, again in zip(images, read, strict=True):
        assert (truth.event, truth.name) == (again.event, again.name)
        assert np.array_equal(truth.boxes_xywh_px, again.boxes_xywh_px)
        assert all(np.array_equal(truth.counted[subset], again.counted[subset]) for subset in SUBSETS)
    for truth in images:
        rows = drawn_detections(rng, truth)
        write_predictions(tmp_path, truth, np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]]), rows[:, 4])
        assert read_predictions(tmp_path, truth) == pytest.approx(rows, abs=2e-3)
    command = [sys.executable, "-m", "training.evaluation.wider", "--predictions", tmp_path, "--ground-truth", tmp_path]
    run = subprocess.run([*command, "--scales", "0.5, 1, 2"], cwd=ROOT, capture_output=True, text=True, check=True)
    expected = evaluate_wider(read, lambda truth: read_predictions(tmp_path, truth), "0.5, 1, 2")
    assert json.loads(run.stdout) == expected
    predictions_file(tmp_path, images[0]).unlink()
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("error: ") and "picture_0.txt is missing" in run.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is damaged"),
        ("a\nmany\n", "is damaged"),
        ("a\n1\n1 2 3 4\n", "is damaged"),
        ("a\n2\n1 2 3 4 0.5\n", "announces 2 detections and holds 1"),
        ("a\n1\n1 2 3 4 nan\n", "holds infinite numbers or none"),
    ],
)
def test_damaged_predictions(tmp_path: Path, text: str, problem: str) -> None:
    path = predictions_file(tmp_path, image([]))
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(WiderError, match=problem):
        read_predictions(tmp_path, image([]))


def test_no_detections_are_a_file_too(tmp_path: Path) -> None:
    write_predictions(tmp_path, image([]), np.empty((0, 4)), np.empty(0))
    assert read_predictions(tmp_path, image([])).shape == (0, 5)


def test_damaged_ground_truth(tmp_path: Path) -> None:
    with pytest.raises(WiderError, match=r"wider_face_val\.mat is missing"):
        read_ground_truth(tmp_path)
    write_ground_truth(tmp_path, [image([[1, 2, 3, 4]])])
    scipy.io.savemat(tmp_path / "wider_easy_val.mat", {"gt_list": cells([cells([np.array([[2]])])])})
    with pytest.raises(WiderError, match=r"wider_easy_val\.mat names faces"):
        read_ground_truth(tmp_path)
    scipy.io.savemat(tmp_path / "wider_easy_val.mat", {"gt_list": cells([])})
    with pytest.raises(WiderError, match=r"wider_easy_val\.mat has fewer images"):
        read_ground_truth(tmp_path)
    scipy.io.savemat(tmp_path / "wider_easy_val.mat", {"other": 1})
    with pytest.raises(WiderError, match="has no gt_list"):
        read_ground_truth(tmp_path)
    (tmp_path / "wider_easy_val.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(WiderError, match="cannot be read as a MATLAB file"):
        read_ground_truth(tmp_path)


def test_detections_of_a_detector(tmp_path: Path) -> None:
    class Stub:
        size_wh, source, labels = (640, 640), "stub", ("face",)

        def __call__(self, photo: Path) -> Detections:
            start = float(photo.read_bytes())
            return Detections(np.array([[start, 2, start + 10, 14]]), np.array([0.75]), np.array([0]))

    images = [image([[5, 2, 10, 12]], name="a"), image([[8, 2, 10, 12]], name="b")]
    (tmp_path / "0--Parade").mkdir()
    (tmp_path / "0--Parade" / "a.jpg").write_bytes(b"5")
    with pytest.raises(WiderError, match=r"b\.jpg is missing; --images is"):
        detect_all(Stub(), images, tmp_path, tmp_path / "found")
    (tmp_path / "0--Parade" / "b.jpg").write_bytes(b"8")
    detect_all(Stub(), images, tmp_path, tmp_path / "found")
    assert read_predictions(tmp_path / "found", images[1]).tolist() == [[8, 2, 10, 12, 0.75]]
    result = evaluate_wider(images, lambda truth: read_predictions(tmp_path / "found", truth))
    assert {subset: result[subset] for subset in SUBSETS} == dict.fromkeys(SUBSETS, 1.0)


def test_one_command_from_photos_to_figures(
    tmp_path: Path, astronaut: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left, top, right, bottom = FACE_XYXY_PX
    write_ground_truth(tmp_path, [image([[left, top, right - left, bottom - top]], name="astronaut")])
    (tmp_path / "0--Parade").mkdir()
    shutil.copy(astronaut, tmp_path / "0--Parade")
    given = {"images": tmp_path, "ground-truth": tmp_path, "predictions": tmp_path / "found", "onnx": network_file()}
    monkeypatch.setattr(
        sys, "argv", ["", "--detector", "BlazeFace", *(str(text) for key in given for text in (f"--{key}", given[key]))]
    )
    wider_detect.main()
    result = json.loads(capsys.readouterr().out)
    assert result["hard"] == 1 and result["scales"] == "single scale, stretched to 640x640"
    assert (tmp_path / "found" / "0--Parade" / "astronaut.txt").is_file()
