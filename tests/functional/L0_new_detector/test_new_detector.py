"""The walk of CONTRIBUTING.md: a fifth detector is one file, one YAML and one line; trained, published and served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.dataset import draw_faces_dataset
from tests.reference import InProcess
from training.paths import ROOT
from tritonface import create_model
from tritonface_server.detector import NmsSettings
from tritonface_server.endpoints import Endpoints
from tritonface_server.export_folder import read_folder
from tritonface_server.server import TritonServer, undrained

TINY = Path(__file__).with_name("tiny.py")
DETECTOR, CONFIG, LIST = "training/detectors/tiny.py", "training/configs/Tiny.yaml", "training/detectors/__init__.py"
LINE = '    "tiny",\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the training code with one more detector."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "training", folder / "training", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TINY, folder / DETECTOR)
    nearest = (ROOT / "training/configs/BlazeFace.yaml").read_text()
    (folder / CONFIG).write_text(nearest.replace("model: BlazeFace", "model: Tiny").replace("640", "96"))
    listed = (folder / LIST).read_text()
    (folder / LIST).write_text(listed.replace('    "ppyoloe",\n', f'    "ppyoloe",\n{LINE}'))
    return folder


def run(project: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)


def training(project: Path, mode: str, output: Path, *overrides: str) -> dict:
    settings: Sequence[str] = [f"Global.mode={mode}", f"Global.output={output}", *overrides]
    options = [text for setting in settings for text in ("-o", setting)]
    done = run(project, sys.executable, "training/main.py", "-c", CONFIG, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((output / f"{mode}_result.json").read_text())


def test_nothing_else_is_touched(project: Path) -> None:
    copied = {str(path.relative_to(project)) for path in project.rglob("*") if path.suffix in (".py", ".yaml")}
    differing = {
        name
        for name in copied
        if not (ROOT / name).is_file() or (ROOT / name).read_bytes() != (project / name).read_bytes()
    }
    assert differing == {DETECTOR, CONFIG, LIST}
    listed, original = ((folder / LIST).read_text().splitlines(True) for folder in (project, ROOT))
    assert [line for line in listed if line not in original] == [LINE]


@pytest.mark.fault("B6")
def test_it_is_trained_evaluated_published_and_served(project: Path, tmp_path: Path) -> None:
    """On a data set whose one class is "mask", which is what the server answers with."""
    faces = draw_faces_dataset(tmp_path / "faces")
    for file in (faces / "annotations").glob("*.json"):
        content = json.loads(file.read_text())
        content["categories"][0]["name"] = "mask"
        file.write_text(json.dumps(content))
    dataset, repository = f"Global.dataset_dir={faces}", tmp_path / "repository"
    few = ["Train.epochs_iters=2", "Train.batch_size=4", "Train.warmup_steps=2", "Train.log_interval=1"]
    trained = training(project, "train", tmp_path / "mine", dataset, *few)
    exported = tmp_path / "mine" / "best_model" / "inference"
    assert trained["model_name"] == "Tiny" and (exported / "model.onnx").is_file()

    facts = read_folder(exported)
    assert facts.labels == ("mask",)
    assert (facts.name, facts.input_size_wh, facts.size_multiple, facts.interpolation) == (
        "Tiny",
        (96, 96),
        16,
        "cubic",
    )
    assert facts.nms == NmsSettings(score_threshold=0.05, iou_threshold=0.4, top_k=200, keep_top_k=20)
    evaluated = training(
        project, "evaluate", tmp_path / "evaluated", dataset, f"Evaluate.weight_path={exported}/model.onnx"
    )
    assert 0 <= evaluated["AP"] <= 1
    photo = faces / "images" / "faces_1.png"
    predicted = training(
        project, "predict", tmp_path / "predicted", f"Predict.model_dir={exported}", f"Predict.input={photo}"
    )
    assert len(predicted["results"]) == 1

    publish = [Path(sys.executable).with_name("tritonface-server"), "publish", "add", exported, "tiny-faces"]
    done = run(project, *publish, "--model-repository", repository)
    assert done.returncode == 0, done.stderr
    expected = np.array(InProcess(facts, exported / "model.onnx")(photo.read_bytes(), 0))
    with (
        undrained(TritonServer(repository, Endpoints.free(), log=tmp_path / "log", cpus=1)) as server,
        create_model("tiny-faces", url=server.endpoints.grpc, threshold=0) as model,
    ):
        (result,) = model.predict(photo)
    assert model.input_size_wh == (96, 96) and len(result) > 0
    assert {box["label"] for box in result["boxes"]} == {"mask"}
    np.testing.assert_allclose(result.scores, expected[:, 0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(result.xyxy, expected[:, 1:], atol=0.02, rtol=0)
