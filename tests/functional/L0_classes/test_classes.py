"""Two classes from the data set to the SDK: a BlazeFace for faces learns to tell masks, is evaluated and served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from tests.dataset import MASKS, draw_faces_dataset, file_of, split_of
from tests.reference import iou_with_each
from tests.shipped import copy_one_detector
from tests.training_command import result_of, run
from training.evaluation.detect import open_detect
from training.evaluation.evaluate import evaluate
from training.paths import shipped_weights
from tritonface import create_model
from tritonface_server.access import Access
from tritonface_server.endpoints import Endpoints
from tritonface_server.export_folder import read_folder
from tritonface_server.images import decode_image
from tritonface_server.in_process import InProcessDetector, load_network
from tritonface_server.publish import PublishError, publish
from tritonface_server.server import TritonServer, undrained

LABELS = ("no mask", "mask")
SETTINGS = (
    *("Train.num_classes=2", "Train.epochs_iters=28", "Train.eval_interval=28", "Train.save_interval=28"),
    *("Train.image_size=128", "Train.image_sizes=[]", "Train.batch_size=4", "Train.log_interval=1"),
    *("Train.learning_rate=0.005", "Train.schedule=cosine", "Train.warmup_steps=0"),
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cartoon faces, every second one with a mask."""
    return draw_faces_dataset(tmp_path_factory.mktemp("data") / "faces", categories=MASKS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """The output of a training that begins with the shipped weights, which know one class."""
    output = tmp_path_factory.mktemp("trained")
    weights = f"Train.pretrain_weight_path={shipped_weights('BlazeFace')}"
    done = run("BlazeFace", output, faces, *SETTINGS, weights)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the weights are of one class: the head for several begins anew (blaze_head.scores0.weight" in done.stdout
    return output


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    return trained / "best_model" / "inference"


@pytest.fixture(scope="module")
def server(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """BlazeFace, and beside it what was trained, published as "masks"; clients may load models."""
    folder = tmp_path_factory.mktemp("server")
    repository = copy_one_detector(folder / "models")
    publish(exported, "masks", repository)
    access = Access(open_apis=("model-repository",))
    with undrained(TritonServer(repository, Endpoints.free(), log=folder / "log", cpus=1, access=access)) as running:
        yield running


def test_one_class_is_not_enough(tmp_path: Path, faces: Path) -> None:
    done = run("BlazeFace", tmp_path, faces, mode="check_dataset")
    assert done.returncode == 1
    assert "2 categories have boxes (no mask, mask), Train.num_classes is 1; add -o Train.num_classes=2" in done.stderr
    done = run("BlazeFace", tmp_path, faces, "Train.num_classes=2", mode="check_dataset")
    assert (done.returncode, done.stderr) == (0, "")
    assert result_of(tmp_path, "check_dataset")["attributes"]["num_classes"] == 2


def test_both_classes_are_learned(tmp_path: Path, faces: Path, trained: Path, exported: Path) -> None:
    """The figures of each class in the log, and of the exported network."""
    assert read_folder(exported).labels == LABELS
    (line,) = [line for line in (trained / "train.log").read_text().splitlines() if "epoch 28/28: AP" in line]
    assert "(AP of no mask 0." in line and ", mask 0." in line
    for weights in (trained, exported / "model.onnx"):
        done = run("BlazeFace", tmp_path, faces, f"Evaluate.weight_path={weights}", mode="evaluate")
        assert (done.returncode, done.stderr) == (0, "")
        result = result_of(tmp_path, "evaluate")
        assert result["image_size"] == {"width": 128, "height": 128}
        by_class = result["by_class"]
        assert list(by_class) == list(LABELS) and min(figures["AP50"] for figures in by_class.values()) > 0.7
        assert result["AP"] == pytest.approx(np.mean([figures["AP"] for figures in by_class.values()]))
        assert result["AP"] == pytest.approx(result_of(trained)["models"]["best"]["score"], abs=0.02)


def test_weights_of_other_classes(tmp_path: Path, faces: Path, trained: Path) -> None:
    """Neither are faces evaluated as masks, nor does a training of one class begin with what tells two apart."""
    shipped = f"Evaluate.weight_path={shipped_weights('BlazeFace')}"
    done = run("BlazeFace", tmp_path / "a", faces, shipped, mode="evaluate")
    assert done.returncode == 1 and "labels are face: it does not know no mask, mask" in done.stderr
    one_class = draw_faces_dataset(tmp_path / "faces", count=2)
    done = run("BlazeFace", tmp_path / "b", one_class, f"Train.pretrain_weight_path={trained}")
    assert done.returncode == 1 and "tells 2 classes apart (no mask, mask), the data set has 1 (face)" in done.stderr


FACES, TOLERATED = 13, 2
"""How many faces there are, and at how many a training of seconds may guess wrong; at half of them chance would."""


def wrong_labels(faces: Path, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The true faces without a box, or whose best box has another class, from boxes like the SDK's by file name."""
    split = split_of(file_of(faces, "val"))
    wrong = []
    for image in split.images:
        for true_box, class_id in zip(image.boxes_xyxy_px, image.class_ids):
            boxes = found[image.file_name]
            overlaps = iou_with_each(true_box, np.array([box["coordinate"] for box in boxes]).reshape(-1, 4)) > 0.4
            near = [box for box, overlap in zip(boxes, overlaps) if overlap]
            if not near or near[0]["label"] != split.class_names[class_id]:
                wrong.append(f"{image.file_name}: {split.class_names[class_id]} at {true_box}")
    assert sum(len(image.class_ids) for image in split.images) == FACES
    return wrong


@pytest.mark.parametrize(
    ("protocol", "use_hpip", "by_folder"),
    [("grpc", False, False), ("http", True, False), ("grpc", False, True), ("http", True, True)],
)
def test_the_sdk_says_both_labels(
    server: TritonServer, faces: Path, exported: Path, protocol: str, use_hpip: bool, by_folder: bool
) -> None:
    """Published on the server's machine, and sent by the client beside a BlazeFace of one class."""
    address: dict[str, Any] = {"protocol": protocol, "url": getattr(server.endpoints, protocol), "use_hpip": use_hpip}
    name = {"model_name": "BlazeFace", "model_dir": exported} if by_folder else {"model_name": "masks"}
    photos = sorted((faces / "images").iterdir())
    with create_model(**name, **address, threshold=0.3) as model:
        assert (tuple(model.labels), model.input_size_wh) == (LABELS, (128, 128))
        results = list(model.predict([str(photo) for photo in photos], batch_size=2))
    assert {box["label"] for result in results for box in result["boxes"]} == set(LABELS)
    wrong = wrong_labels(faces, {photo.name: result["boxes"] for photo, result in zip(photos, results)})
    assert len(wrong) <= TOLERATED, wrong
    assert all(box["label"] == LABELS[box["cls_id"]] for result in results for box in result["boxes"])
    if use_hpip:
        return
    here = InProcessDetector(read_folder(exported), load_network(exported / "model.onnx"))
    for photo, result in zip(photos, results):
        (expected,) = here.detect([decode_image(photo.read_bytes())], threshold=0.3)
        assert result.class_ids.tolist() == expected.class_ids.tolist()
        np.testing.assert_allclose(result.scores, expected.scores, atol=1e-5, rtol=0)
        np.testing.assert_allclose(result.xyxy, expected.boxes_xyxy_px, atol=0.02, rtol=0)


def test_what_is_served_is_evaluated_by_class(
    server: TritonServer, faces: Path, exported: Path, tmp_path: Path
) -> None:
    found = {}
    for way, arguments in {
        "onnx": {"weights": exported / "model.onnx"},
        "served": {"served_url": server.endpoints.grpc, "served_model": "masks"},
    }.items():
        with open_detect("BlazeFace", **arguments) as detect:
            assert detect.labels == LABELS
            found[way] = evaluate(detect, "BlazeFace", faces, tmp_path / way)["by_class"]
    assert found["served"] == {label: pytest.approx(figures, abs=1e-6) for label, figures in found["onnx"].items()}


def test_predicting_without_a_server_says_both_labels(faces: Path, exported: Path, tmp_path: Path) -> None:
    given = [f"Predict.model_dir={exported}", f"Predict.input={faces / 'images'}", "Predict.threshold=0.3"]
    done = run("BlazeFace", tmp_path, faces, *given, mode="predict")
    assert (done.returncode, done.stderr) == (0, "")
    files = [tmp_path / result["json"] for result in result_of(tmp_path, "predict")["results"]]
    found = {Path(answer["input_path"]).name: answer["boxes"] for answer in map(json.loads, map(Path.read_text, files))}
    wrong = wrong_labels(faces, found)
    assert len(wrong) <= TOLERATED, wrong


def test_paddlexs_folder_says_the_same(faces: Path, exported: Path) -> None:
    facts = read_folder(exported)
    here = InProcessDetector(facts, load_network(exported / "model.onnx"))
    graph = paddle.jit.load(str(exported / "inference"))
    for photo in sorted((faces / "images").iterdir())[:3]:
        picture = decode_image(photo.read_bytes())  # of the network's own size
        image = ((picture[..., ::-1] - np.float32([123, 117, 104])) / np.float32(127.502231)).transpose(2, 0, 1)[None]
        size_hw = np.float32([picture.shape[:2]])
        rows, _ = graph(*map(paddle.to_tensor, (np.ascontiguousarray(image), np.ones((1, 2), np.float32), size_hw)))
        rows = rows.numpy()
        rows = rows[(rows[:, 1] > 0.3)]
        (expected,) = here.detect([picture], threshold=0.3)
        ours = np.column_stack([expected.class_ids, expected.scores])
        np.testing.assert_allclose(rows[np.argsort(-rows[:, 1]), :2], ours, atol=1e-4, rtol=0)


def test_labels_that_do_not_fit_the_network_are_not_published(exported: Path, tmp_path: Path) -> None:
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = (tmp_path / "inference.yml").read_text()
    (tmp_path / "inference.yml").write_text(settings.replace("[no mask, mask]", "[mask]"))
    with pytest.raises(PublishError, match=r"tells 2 classes apart, and its labels are mask \(1\)"):
        publish(tmp_path, "masks", tmp_path / "repository")
