"""The real command line of training, as a process of its own, on a data set drawn here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dataset import draw_dataset, file_of, read, write
from tests.paddlex_config import paddlex_yaml
from tests.reference import InProcess
from tests.trained import trained_network
from training.detectors import DETECTORS
from training.engine.checkpoint import Checkpoint, save_checkpoint
from training.paths import ROOT
from training.progress import Progress
from tritonface_server.export_folder import read_accuracy, read_folder

MAIN = ROOT / "training" / "main.py"


def run(
    folder: Path, *overrides: Any, model: str = "BlazeFace", config: Path | None = None, as_module: bool = False
) -> Any:
    """The command with `folder` as working directory, output into `folder`/output."""
    config = config or ROOT / "training" / "configs" / f"{model}.yaml"
    start = ["-m", "training.main"] if as_module else [str(MAIN)]
    settings = [text for override in overrides for text in ("-o", str(override))]
    return subprocess.run(
        [sys.executable, *start, "-c", str(config), *settings],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT) if as_module else "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def result_of(folder: Path, mode: str) -> dict[str, Any]:
    return json.loads((folder / "output" / f"{mode}_result.json").read_text())


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data")


def test_nothing_given(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no data set is given; add -o Global.dataset_dir=FOLDER\n"
    assert result_of(tmp_path, "check_dataset") == {
        "done_flag": False,
        "check_pass": False,
        "err_type": "ConfigError",
        "err_msg": "no data set is given; add -o Global.dataset_dir=FOLDER",
    }


@pytest.mark.parametrize(("model", "as_module"), [*((name, False) for name in DETECTORS), ("BlazeFace", True)])
def test_check_dataset(tmp_path: Path, dataset: Path, model: str, as_module: bool) -> None:
    done = run(tmp_path, "Global.mode=check_dataset", "Global.dataset_dir=./data", model=model, as_module=as_module)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Check dataset passed !"
    result = result_of(tmp_path, "check_dataset")
    keys = ["done_flag", "check_pass", "attributes", "analysis", "dataset_path", "show_type", "dataset_type"]
    assert list(result) == keys and result["done_flag"] is True and result["dataset_path"] == "./data"
    assert list(result["attributes"]) == [
        "num_classes",
        "train_samples",
        "train_sample_paths",
        "val_samples",
        "val_sample_paths",
    ]
    for name in ("train", "val"):
        for path in result["attributes"][f"{name}_sample_paths"]:
            assert (tmp_path / "output" / path).is_file()
    assert (tmp_path / "output" / result["analysis"]["histogram"]).is_file()
    assert not list((tmp_path / "output").glob(".*"))


@pytest.mark.fault("B4")
def test_a_configuration_of_paddlex(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "paddlex.yaml").write_text(paddlex_yaml("BlazeFace"))
    done = run(tmp_path, "Global.dataset_dir=data", config=tmp_path / "paddlex.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "settings of PaddleX that have no effect here: CheckDataset.convert, Predict.kernel_option",
        "Check dataset passed !",
    ]


def test_splitting_as_in_the_documentation(tmp_path: Path, dataset: Path) -> None:
    split = {"enable": True, "train_percent": 50, "val_percent": 50}
    keys = [f"CheckDataset.split.{key}={value}" for key, value in split.items()]
    done = run(tmp_path, "Global.mode=check_dataset", "Global.dataset_dir=data", *keys)
    assert done.returncode == 0, done.stderr
    attributes = result_of(tmp_path, "check_dataset")["attributes"]
    assert (attributes["train_samples"], attributes["val_samples"]) == (3, 3)
    assert file_of(dataset, "train").with_name("instance_train.json.bak").is_file()


def test_a_failure_is_one_line_and_replaces_the_result_before(tmp_path: Path, dataset: Path) -> None:
    assert run(tmp_path, "Global.dataset_dir=data").returncode == 0
    data = read(dataset)
    data["images"][0]["file_name"] = "../../escaped.jpg"
    write(dataset, "train", data)
    done = run(tmp_path, "Global.dataset_dir=data")
    assert done.returncode == 1 and "passed" not in done.stdout
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    result = result_of(tmp_path, "check_dataset")
    assert (result["done_flag"], result["check_pass"], result["err_type"]) == (False, False, "DatasetError")
    assert result["err_msg"] in done.stderr and "'../../escaped.jpg'" in result["err_msg"]
    assert not list(tmp_path.rglob("escaped.jpg"))


def test_a_traceback_on_request(tmp_path: Path) -> None:
    done = run(tmp_path, "Global.dataset_dir=nowhere", "Global.traceback=true")
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == "error: the data set nowhere is not a folder"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("Train.epoch_iters=3", "error: there is no setting Train.epoch_iters; did you mean Train.epochs_iters?"),
        ("Global.mode=check", "error: Global.mode is 'check'; it should be 'check_dataset', 'train'"),
        ("Train.batch_size=many", "error: Train.batch_size is 'many'; it should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, override: str, message: str) -> None:
    done = run(tmp_path, override)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_export_and_predict(tmp_path: Path, solvay: Path) -> None:
    weights = ROOT / "weights" / "BlazeFace.safetensors"
    result = exported(tmp_path, "BlazeFace", weights)
    assert (result["done_flag"], result["model"], result["weight_path"]) == (True, "BlazeFace", str(weights))
    assert all((tmp_path / "output" / file).stat().st_size for file in result["files"])
    assert (result["image_size"], result["labels"]) == ({"width": 640, "height": 640}, ["face"])
    boxes = predicted(tmp_path, "BlazeFace", solvay)
    assert boxes and {box["label"] for box in boxes} == {"face"}


@pytest.mark.fault("B5")
@pytest.mark.fault("B6")
def test_what_a_training_saved_is_exported_with_its_size_and_labels(tmp_path: Path, solvay: Path) -> None:
    model = "BlazeFace-FPN-SSH"
    network = trained_network(model)
    arrays = {name: parameter.numpy() for name, parameter in network.state_dict().items()}
    before = {"epoch": 0, "AP": 0.5, "AP50": 0.75}
    progress = Progress(model, "run", 320, epochs=3, ap=0.25, ap50=0.5, labels=["mask"], before=before)
    save_checkpoint(tmp_path / "mine" / "best_model", Checkpoint(arrays, None, arrays, progress))
    result = exported(tmp_path, model, Path("mine"))
    assert result["weight_path"] == "mine/best_model/best_model.pdparams"
    accuracy = read_accuracy(tmp_path / "output")
    assert (accuracy["before"], accuracy["after"]["AP"], accuracy["better"]) == (before, 0.25, False)
    assert (result["image_size"], result["labels"]) == ({"width": 320, "height": 320}, ["mask"])
    boxes = predicted(tmp_path, model, solvay, "Predict.threshold=0")
    assert boxes and {box["label"] for box in boxes} == {"mask"}


def exported(folder: Path, model: str, weights: Path) -> dict[str, Any]:
    done = run(folder, "Global.mode=export", f"Export.weight_path={weights}", model=model)
    assert done.returncode == 0, done.stderr
    return result_of(folder, "export")


def predicted(folder: Path, model: str, photo: Path, *settings: str) -> list[dict[str, Any]]:
    """The boxes that the exported folder finds, as many as the yardstick."""
    given = ("Global.mode=predict", "Predict.model_dir=output", f"Predict.input={photo}", *settings)
    done = run(folder, *given, model=model)
    assert (done.returncode, done.stderr) == (0, "")
    (entry,) = result_of(folder, "predict")["results"]
    assert (folder / "output" / f"{photo.stem}_res.jpg").is_file()
    boxes = json.loads((folder / "output" / entry["json"]).read_text())["boxes"]
    yardstick = InProcess(read_folder(folder / "output"), folder / "output" / "model.onnx")
    threshold = 0 if settings else 0.5
    assert entry["boxes"] == len(boxes) == len(yardstick(photo.read_bytes(), threshold))
    return boxes


def test_weights_that_are_a_hostile_pickle(tmp_path: Path) -> None:
    (tmp_path / "best_model.pdparams").write_bytes(b"cposix\nsystem\n(S'touch harmed'\ntR.")
    done = run(tmp_path, "Global.mode=export", "Export.weight_path=.")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    result = result_of(tmp_path, "export")
    assert result["done_flag"] is False and result["err_type"] == "PdparamsError"
    assert not (tmp_path / "harmed").exists()
