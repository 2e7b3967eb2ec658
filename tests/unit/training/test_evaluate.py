"""Mode evaluate without a server: figures, pictures, the two networks in this process, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from tests.corpus.pieces import chunk
from tests.dataset import split_of
from tests.shipped import network_file
from training.config import ConfigError, Evaluate
from training.dataset_problems import DatasetError
from training.detectors import build_detector, get_detector
from training.evaluation.coco import METRICS, evaluate_coco
from training.evaluation.curves import measure_curves
from training.evaluation.detect import DetectError, InProcess, open_detect
from training.evaluation.evaluate import (
    PRECISION_RECALL,
    SIZES,
    EvaluateError,
    evaluate,
    run_evaluate,
)
from training.paths import shipped_weights
from training.weights import WeightsError, load_weights
from tritonface_server.detections import Detections
from tritonface_server.images import SizeError
from tritonface_server.in_process import InProcessDetector

NOTHING = Detections.none()
BOXES = [[10, 10, 15, 15], [60, 20, 20, 20], [100, 100, 120, 110]]  # x, y, width, height: sides 15, 20 and 115


def write_data_set(folder: Path, photos: list[list[list[float]]]) -> Path:
    """Drawn 300x240 px photos with these faces (x, y, width, height); the ids are 1, 2, ..."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images, faces = [], []
    for number, boxes in enumerate(photos, start=1):
        picture = np.full((240, 300, 3), 90 + number, np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), picture)
        images.append({"id": number, "file_name": f"{number}.png", "width": 300, "height": 240})
        for x, y, width, height in boxes:
            face = {"id": len(faces) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            faces.append({**face, "bbox": [x, y, width, height], "area": width * height})
    content = {"images": images, "annotations": faces, "categories": [{"id": 1, "name": "face"}]}
    (folder / "annotations" / "instance_val.json").write_text(json.dumps(content))
    return folder


def annotations(data_set: Path) -> Path:
    return data_set / "annotations" / "instance_val.json"


class Stub:
    """Gives prepared faces, one call after the other."""

    source, size_wh, labels = "stub", (640, 480), ("face",)

    def __init__(self, *faces: Detections) -> None:
        self.faces = list(faces)

    def __call__(self, photo: Path) -> Detections:
        assert photo.suffix == ".png"
        return self.faces.pop(0)


def found(boxes_xywh: list[list[float]]) -> Detections:
    boxes = np.array(boxes_xywh, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(boxes, np.linspace(0.9, 0.5, len(boxes), dtype=np.float32), np.zeros(len(boxes), np.int32))


def test_no_detections(tmp_path: Path) -> None:
    result = evaluate(Stub(NOTHING), "BlazeFace", write_data_set(tmp_path / "data", [BOXES]), tmp_path / "output")
    assert {name: result[name] for name in METRICS} == dict.fromkeys(METRICS, 0)
    assert [size["AP50"] for size in result["by_face_side_px"].values()] == [-1, 0, 0, -1, 0]


def test_no_faces(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no image has a box to learn from or to be judged by"):
        evaluate(Stub(), "BlazeFace", write_data_set(tmp_path / "data", [[]]), tmp_path / "output")


def test_no_photos(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there are no images"):
        evaluate(Stub(), "BlazeFace", write_data_set(tmp_path / "data", []), tmp_path / "output")


def test_perfect_detections_and_what_is_written(tmp_path: Path) -> None:
    data_set = write_data_set(tmp_path / "data", [BOXES, [], BOXES[:1]])
    stub = Stub(found(BOXES), NOTHING, found(BOXES[:1]))
    result = evaluate(stub, "BlazeFace", data_set, tmp_path / "output")
    figures = {name: result.pop(name) for name in METRICS}
    assert result.pop("by_class") == {"face": figures}
    assert figures.pop("AP_medium") == -1
    assert figures == pytest.approx(dict.fromkeys(figures, 1.0))
    assert result.pop("ms_per_image").keys() == {"p50", "mean"}
    sizes = {"under 12": (0, -1), "12-20": (2, 1), "20-40": (1, 1), "40-96": (0, -1), "from 96": (1, 1)}
    assert {name: tuple(size.values()) for name, size in result.pop("by_face_side_px").items()} == {
        name: (faces, pytest.approx(ap50)) for name, (faces, ap50) in sizes.items()
    }
    assert result == {
        "model": "BlazeFace",
        "source": "stub",
        "image_size": {"width": 640, "height": 480},
        "images": 3,
        "faces": 4,
        "ignored_faces": 0,
        "pictures": [PRECISION_RECALL, SIZES],
    }
    for picture in result["pictures"]:
        with Image.open(tmp_path / "output" / picture) as image:
            assert (image.format, image.size) == ("PNG", (768, 576))


def test_the_curve_has_the_area_that_coco_reports(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photos = [np.hstack([rng.random((6, 2)) * 150, 8 + rng.random((6, 2)) * 50]).tolist() for _ in range(10)]
    data_set = write_data_set(tmp_path / "data", photos)
    content = json.loads(annotations(data_set).read_text())
    for face in content["annotations"][::4]:
        face["ignore"] = 1
    annotations(data_set).write_text(json.dumps(content))
    detections = {}
    for number, boxes in enumerate(photos, start=1):
        corners = found(boxes + boxes[:2]).boxes_xyxy_px
        moved, scores = corners + rng.normal(0, 3, corners.shape), rng.random(len(corners))
        detections[number] = Detections(moved, scores, np.zeros(len(corners), np.int32))
    split = split_of(annotations(data_set))
    curves = measure_curves(split, detections)
    assert 0.1 < curves.precision["face"].mean() < 0.9
    assert curves.precision["face"].mean() == pytest.approx(evaluate_coco(split, detections)["AP50"])
    assert (curves.images, curves.faces, curves.ignored_faces) == (10, 45, 15)
    assert sum(size.faces for size in curves.sizes) == 45


def assert_same(faces: Detections, expected: Detections) -> None:
    assert len(faces.scores) == len(expected.scores) > 20
    np.testing.assert_allclose(faces.boxes_xyxy_px, expected.boxes_xyxy_px, atol=0.01, rtol=0)
    np.testing.assert_allclose(faces.scores, expected.scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size_wh", [None, (320, 256)])
def test_paddle_and_onnx_find_the_same_faces(tmp_path: Path, solvay: Path, size_wh: tuple[int, int] | None) -> None:
    shipped = shipped_weights("BlazeFace")
    in_paddle, in_onnx = (
        open_detect("BlazeFace", weights=weights, size_wh=size_wh) for weights in (shipped, network_file())
    )
    assert (in_paddle.source, in_onnx.source, in_onnx.size_wh) == ("paddle", "onnx", size_wh or (640, 640))
    expected = in_paddle(solvay)
    assert expected.boxes_xyxy_px.dtype == expected.scores.dtype == np.float32
    assert_same(in_onnx(solvay), expected)
    network = build_detector("BlazeFace")
    load_weights(network, shipped)
    paddle.save(network.state_dict(), str(tmp_path / "best.pdparams"))
    assert_same(open_detect("BlazeFace", weights=tmp_path / "best.pdparams", size_wh=size_wh)(solvay), expected)


def test_a_photo_without_detections_gives_empty_arrays(tmp_path: Path) -> None:
    def blind(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert pictures.shape == (1, 640, 640, 3)
        return np.ones((1, 3, 4), np.float32), np.zeros((1, 3), np.float32)

    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((5, 7, 3), np.uint8))
    blind_detector = InProcessDetector(get_detector("BlazeFace"), blind)
    found = InProcess(blind_detector, "blind")(tmp_path / "black.png")
    assert (found.boxes_xyxy_px.shape, found.scores.shape) == ((0, 4), (0,))


@pytest.mark.parametrize("weight_path", [None, str(network_file())])
def test_from_the_settings_of_the_command_line(tmp_path: Path, weight_path: str | None) -> None:
    chosen = Evaluate(weight_path=weight_path, log_interval=1)
    data_set = write_data_set(tmp_path / "data", [BOXES])
    shared = SimpleNamespace(model="BlazeFace", dataset_dir=str(data_set), output=str(tmp_path / "output"))
    result = run_evaluate(SimpleNamespace(Global=shared, Evaluate=chosen))
    assert result["source"] == ("onnx" if weight_path else "paddle")
    shared.dataset_dir = None
    with pytest.raises(ConfigError, match=r"no data set is given; add -o Global\.dataset_dir=FOLDER"):
        run_evaluate(SimpleNamespace(Global=shared, Evaluate=chosen))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "give either a file of weights or the address"),
        ({"weights": Path("a.onnx"), "served_url": "b:1"}, ValueError, "not both"),
        ({"weights": Path("absent.onnx")}, DetectError, r"absent\.onnx cannot be loaded"),
        ({"weights": Path("absent.safetensors")}, WeightsError, r"absent\.safetensors do not exist"),
        ({"weights": Path("absent.pdparams")}, WeightsError, r"absent\.pdparams do not exist"),
        ({"weights": Path(__file__)}, WeightsError, r"test_evaluate\.py are of another kind"),
        ({"weights": shipped_weights("BlazeFace"), "size_wh": (5000, 640)}, SizeError, "5000x640"),
        ({"served_url": "127.0.0.1:1"}, DetectError, "127.0.0.1:1"),
    ],
)
def test_what_cannot_detect(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_detect("BlazeFace", **arguments)
    with pytest.raises(ValueError, match="unknown detector 'Blaze'"):
        open_detect("Blaze", **arguments)


def test_a_photo_that_cannot_be_decoded(tmp_path: Path) -> None:
    data_set = write_data_set(tmp_path / "data", [BOXES])
    path = data_set / "images" / "1.png"
    path.write_bytes(path.read_bytes()[:33] + chunk(b"IDAT", b"no pixels") + chunk(b"IEND", b""))
    detect = open_detect("BlazeFace", weights=network_file())
    with pytest.raises(EvaluateError, match=r"1\.png: .* cannot be decoded"):
        evaluate(detect, "BlazeFace", data_set, tmp_path)
