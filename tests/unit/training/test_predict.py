from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.dataset import draw_picture
from tests.reference import InProcess
from tests.shipped import network_file
from training.config import load_config
from training.config_values import ConfigError
from training.detectors import get_detector
from training.paddlex_folder import write_settings
from training.paths import ROOT
from training.predict import PredictError, run_predict

BLAZE_FACE = get_detector("BlazeFace")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    shutil.copy(network_file(), folder / "model.onnx")
    write_settings(BLAZE_FACE, folder)
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "output").mkdir()
    return tmp_path / "output"


def run(exported: Path, output: Path, given: Any, *overrides: str, model: str = "BlazeFace") -> dict[str, Any]:
    settings = [f"Predict.model_dir={exported}", f"Global.output={output}", f"Predict.input={given}", *overrides]
    return run_predict(load_config(ROOT / "training" / "configs" / f"{model}.yaml", settings))


def test_no_pictures(exported: Path, output: Path) -> None:
    assert run(exported, output, "[]")["results"] == []
    assert list(output.iterdir()) == []
    with pytest.raises(ConfigError, match=r"no picture is given; add -o Predict\.input=FILE_OR_FOLDER"):
        run(exported, output, "null")


def test_an_address_is_no_picture(exported: Path, output: Path) -> None:
    with pytest.raises(ConfigError, match=r"https://a\.b/c\.png is an address; download the picture"):
        run(exported, output, "https://a.b/c.png")


@pytest.mark.fault("B29")
def test_a_pipe_is_no_picture(exported: Path, output: Path, solvay: Path) -> None:
    folder = output.parent / "photos"
    folder.mkdir()
    os.mkfifo(folder / "pipe.jpg")
    with pytest.raises(ConfigError, match=r"pipe\.jpg is not a file"):
        run(exported, output, folder / "pipe.jpg")
    shutil.copy(solvay, folder)
    assert len(run(exported, output, folder)["results"]) == 1


@pytest.mark.fault("B4")
def test_without_a_folder_the_shipped_one_predicts(exported: Path, output: Path, solvay: Path) -> None:
    given = run(exported, output, solvay)["results"]
    shipped = run(exported, output, solvay, "Predict.model_dir=null")
    assert shipped["results"] == given
    assert Path(shipped["model_dir"]) == network_file().parent


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_boxes_are_those_of_the_yardstick(
    exported: Path, output: Path, solvay: Path, astronaut: Path, batch_size: int
) -> None:
    result = run(exported, output, f"[{solvay}, {astronaut}]", f"Predict.batch_size={batch_size}")
    yardstick = InProcess(BLAZE_FACE)
    for photo, entry in zip([solvay, astronaut], result["results"], strict=True):
        wanted = np.array(yardstick(photo.read_bytes()))
        saved = json.loads((output / entry["json"]).read_text())
        assert list(saved) == ["input_path", "boxes"] and saved["input_path"] == str(photo)
        assert entry["boxes"] == len(saved["boxes"]) == len(wanted)
        assert all(list(box) == ["cls_id", "label", "score", "coordinate"] for box in saved["boxes"])
        found = np.array([[box["score"], *box["coordinate"]] for box in saved["boxes"]])
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)
        with Image.open(output / entry["image"]) as drawn, Image.open(photo) as original:
            assert drawn.size == original.size
    assert sorted(path.name for path in output.iterdir()) == [
        "astronaut_res.jpg",
        "astronaut_res.json",
        "solvay_1927_res.jpg",
        "solvay_1927_res.json",
    ]


def test_the_threshold(exported: Path, output: Path, solvay: Path) -> None:
    everything = run(exported, output, solvay, "Predict.threshold=0")["results"][0]["boxes"]
    few = run(exported, output, solvay, "Predict.threshold=0.9")["results"][0]["boxes"]
    assert run(exported, output, solvay, "Predict.threshold=1")["results"][0]["boxes"] == 0 < few < everything


def test_folders_are_searched_and_no_result_overwrites_another(exported: Path, output: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("a.jpg", "b.PNG", "more/a.jpg", "more/a.webp", "more/deep/c.bmp"):
        draw_picture(photos / name)
    (photos / "notes.txt").write_text("no picture")
    (photos / os.fsdecode(b"\xff.jpg")).write_bytes((photos / "a.jpg").read_bytes())
    results = run(exported, output, photos, "Predict.batch_size=4")["results"]
    images = [entry["image"] for entry in results]
    assert images[:5] == ["a_res.jpg", "b_res.PNG", "a_2_res.jpg", "a_3_res.webp", "c_res.bmp"]
    assert len(list(output.iterdir())) == 2 * len(results) == 12
    for entry in results:
        json.loads((output / entry["json"]).read_text())


def test_what_cannot_be_found(exported: Path, output: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Predict\.input: nowhere\.jpg does not exist"):
        run(exported, output, "nowhere.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="has no pictures"):
        run(exported, output, tmp_path / "empty")


def test_a_bad_picture_is_named(exported: Path, output: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(PredictError, match=r"bad\.jpg: not a JPEG, PNG, BMP or WebP image"):
        run(exported, output, tmp_path / "bad.jpg")


def test_folders_that_cannot_be_used(exported: Path, output: Path, tmp_path: Path, astronaut: Path) -> None:
    with pytest.raises(PredictError, match=r"Predict\.model_dir: .* has no model\.onnx"):
        run(tmp_path, output, astronaut)
    with pytest.raises(PredictError, match=r"holds BlazeFace, Global\.model is BlazeFace-FPN-SSH"):
        run(exported, output, astronaut, model="BlazeFace-FPN-SSH")
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    (broken / "model.onnx").write_bytes(b"no network")
    with pytest.raises(PredictError, match=r"model\.onnx cannot be loaded as an ONNX network"):
        run(broken, output, astronaut)
