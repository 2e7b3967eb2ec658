"""Every mode reads a data set in the same way: what one refuses or skips, all refuse or skip."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dataset import draw_dataset, draw_picture, file_of, read, write
from tests.shipped import network_file
from training import quantise
from training.check_dataset import run_check_dataset
from training.coco_dataset import IMAGES
from training.config import Config, load_config
from training.dataset_problems import DatasetError
from training.detectors import get_detector
from training.engine.train import run_train
from training.evaluation.evaluate import evaluate, run_evaluate
from training.paths import ROOT
from tritonface_server.detections import Detections


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data")


def config_of(dataset: Path) -> Config:
    output = dataset.parent / "output"
    output.mkdir(exist_ok=True)
    settings = [f"Global.dataset_dir={dataset}", f"Global.output={output}", "Evaluate.weight_path=null"]
    return load_config(ROOT / "training" / "configs" / "BlazeFace.yaml", settings)


def quantise_with(dataset: Path) -> None:
    detector = get_detector("BlazeFace")
    images, output = dataset / IMAGES, dataset.parent / "output"
    quantise.run(detector, network_file(detector.name), images, file_of(dataset, "val"), output, 1)


MODES: dict[str, Callable[[Path], Any]] = {
    "check_dataset": lambda dataset: run_check_dataset(config_of(dataset)),
    "train": lambda dataset: run_train(config_of(dataset)),
    "evaluate": lambda dataset: run_evaluate(config_of(dataset)),
    "quantise": quantise_with,
}


def face(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["annotations"][0].update(values)


def image(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["images"][0].update(values)


WRONG = {
    "negative": (face(bbox=[1, 2, -3, 4]), "bbox[2] is -3"),
    "NaN": (face(bbox=[float("nan"), 2, 3, 4]), "bbox[0] is nan"),
    "infinite": (face(bbox=[1, 2, float("inf"), 4]), "bbox[2] is inf"),
    "outside": (face(bbox=[1, 2, 100, 4]), "boxes leave their image"),
    "unknown image": (face(image_id=7), "image_id is 7"),
    "unknown category": (face(category_id=7), "category_id is 7"),
    "repeated id": (face(id=2), "annotation ids come twice"),
    "repeated image": (lambda data: data["images"].append(data["images"][0]), "image ids come twice"),
    "missing field": (lambda data: data["annotations"][0].pop("bbox"), "bbox is missing"),
    "missing list": (lambda data: data.pop("categories"), "has no list 'categories'"),
    "folder above": (image(file_name="../secret.jpg"), "file_name is '../secret.jpg'; it has to stay inside images/"),
    "absolute name": (image(file_name="/etc/passwd"), "file_name is '/etc/passwd'; it has to stay inside images/"),
    "other size": (image(width=63), "(64x48 px, annotated 63x48)"),
    "missing picture": (image(file_name="no.jpg"), "images are missing"),
    "no boxes": (lambda data: data.update(annotations=[]), "no image has a box"),
}


@pytest.mark.fault("B12")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("breaking", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_data_set_is_refused(
    dataset: Path, mode: str, breaking: Callable[[dict[str, Any]], Any], message: str
) -> None:
    draw_picture(dataset / "secret.jpg")
    data = read(dataset, "val")
    breaking(data)
    write(dataset, "val", data)
    with pytest.raises(DatasetError) as error:
        MODES[mode](dataset)
    assert "instance_val.json" in str(error.value) and message in str(error.value)


@pytest.mark.fault("B29")
@pytest.mark.parametrize("mode", MODES)
def test_a_pipe_among_the_pictures_is_refused(dataset: Path, mode: str) -> None:
    path = dataset / IMAGES / "0--Parade" / "val_1.jpg"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DatasetError, match=r"instance_val\.json: 1 images are no files"):
        MODES[mode](dataset)


class FindsAll:
    """Detects what `tests.dataset` draws."""

    source, size_wh, labels = "stub", (64, 48), ("face",)

    def __call__(self, photo: Path) -> Detections:
        return Detections(np.array([[10, 8, 30, 32]], np.float32), np.array([0.9]), np.array([0]))


@pytest.mark.fault("B12")
def test_what_is_skipped_is_not_missed_by_an_evaluation(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    data = read(dataset, "val")
    data["images"][0]["file_name"] = ".\\0--Parade\\val_1.jpg"
    for number, entry in enumerate(data["annotations"]):
        entry["id"] = number
    empty = {"id": 9, "image_id": 1, "category_id": 1, "bbox": [5, 5, 0, 9]}
    data["annotations"].append(empty)
    data["categories"].insert(0, {"id": 0, "name": "none", "supercategory": "none"})
    write(dataset, "val", data)
    result = evaluate(FindsAll(), "stub", dataset, dataset.parent / "output")
    assert (result["AP"], result["faces"], result["images"]) == (pytest.approx(1), 2, 2)
    assert [message for message in caplog.messages if "instance_val.json" in message] == [
        "instance_val.json: 1 boxes have no area and are skipped (annotation 9 of '0--Parade/val_1.jpg')",
        "instance_val.json: categories without boxes are ignored (none)",
    ]
