"""The README's code with a real server, and the shape of what it produces, field by field."""

from __future__ import annotations

import ast
import doctest
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tritonface
from tests.conftest import WatchedList
from tests.films import write_film
from tests.reference import InProcess
from tests.shipped import shipped
from training.paths import ROOT
from tritonface import DetectionResult, FaceDetector, integrations, video
from tritonface_server.server import TritonServer


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("readme", "photo"), [("README.md", "face_detection.png"), ("client/README.md", "photo.jpg")])
def test_the_code_of_the_readme_runs(
    server: TritonServer, tmp_path: Path, solvay: Path, readme: str, photo: str
) -> None:
    shutil.copy(solvay, tmp_path / photo)
    blocks = python_blocks(ROOT / readme)
    assert blocks
    for block in blocks:
        run = subprocess.run(
            [sys.executable, "-c", block],
            cwd=tmp_path,
            env={**os.environ, "TRITONFACE_URL": server.endpoints.grpc},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        assert photo in run.stdout
    assert list((tmp_path / "output").glob(f"{Path(photo).stem}_res.*g"))
    assert list((tmp_path / "output").glob("*res.json"))


EXAMPLES = [
    test
    for module in (tritonface, integrations, video)
    for name in module.__all__
    for test in doctest.DocTestFinder().find(getattr(module, name), name, module=False)
    if test.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name)
def test_the_examples_of_docstrings(
    server: TritonServer, tmp_path: Path, solvay: Path, example: doctest.DocTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(solvay, tmp_path / "photo.jpg")
    if "film.mp4" in example.docstring:
        write_film(tmp_path / "film.mp4", 3, sound="aac")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRITONFACE_URL", server.endpoints.grpc)
    example.globs = {**vars(tritonface), **vars(integrations), **vars(video)}
    assert doctest.DocTestRunner().run(example).failed == 0


SEED = """
from paddlex import create_model

model_name = "PicoDet_LCNet_x2_5_face"

model = create_model(model_name)
output = model.predict("face_detection.png", batch_size=1)

for res in output:
    res.print(json_format=False)
    res.save_to_img("./output/")
    res.save_to_json("./output/res.json")
"""
SEED_PRINTED = (
    "{'res': {'input_path': 'face_detection.png', 'boxes': [{'cls_id': 0, 'label': 'face', 'score': 0.748367965221405, "
    "'coordinate': [586.83154296875, 342.7668151855469, 595.56005859375, 352.7322692871094]}]}}"
)


def structure(value: object) -> object:
    """Keys in order and types of values; of a list, the structure of its elements, which all share it."""
    if isinstance(value, dict):
        return [(key, structure(item)) for key, item in value.items()]
    if isinstance(value, list):
        (shared,) = {json.dumps(structure(item)) for item in value}
        return [shared]
    return type(value).__name__


def test_the_readmes_code_is_the_tutorials_with_another_import() -> None:
    assert python_blocks(ROOT / "README.md") == [SEED.lstrip().replace("from paddlex", "from tritonface")]


def test_the_tutorials_code_prints_the_structure_of_the_tutorial(
    server: TritonServer, tmp_path: Path, solvay: Path
) -> None:
    """PaddleX's example with another import."""
    with Image.open(solvay) as image:
        image.save(tmp_path / "face_detection.png")
    code = SEED.replace("from paddlex", "from tritonface")
    environment = {**os.environ, "TRITONFACE_URL": server.endpoints.grpc}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    (line,) = run.stdout.splitlines()
    assert run.stderr == "" and structure(ast.literal_eval(line)) == structure(ast.literal_eval(SEED_PRINTED))
    assert json.loads((tmp_path / "output" / "res.json").read_text()) == ast.literal_eval(line)["res"]
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["face_detection_res.png", "res.json"]


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (
            tritonface.create_model,
            {
                "model_name": ...,
                "model_dir": None,
                "device": None,
                "img_size": None,
                "threshold": None,
                "use_hpip": False,
            },
        ),
        (FaceDetector.predict, {"input": ..., "batch_size": None, "threshold": None}),
        (DetectionResult.print, {"format_json": True, "indent": 4, "ensure_ascii": False}),
        (DetectionResult.save_to_json, {"save_path": ..., "indent": 4, "ensure_ascii": False}),
        (DetectionResult.save_to_img, {"save_path": ...}),
    ],
)
def test_the_tutorials_parameters_and_defaults(function: Callable[..., object], parameters: dict[str, object]) -> None:
    """`...`: none. The batch_size of predict is that of create_model, 1 as in the tutorial; device None is any."""
    actual = inspect.signature(function).parameters
    assert {name: actual[name].default for name in parameters} == {
        name: inspect.Parameter.empty if default is ... else default for name, default in parameters.items()
    }
    assert inspect.signature(tritonface.create_model).parameters["batch_size"].default == 1


@pytest.mark.parametrize("threshold", [0, 1, 0.0, 1.0, np.float32(0.5)])
def test_whole_thresholds_count(model: FaceDetector, solvay: Path, threshold: float) -> None:
    (result,) = model.predict(solvay, threshold=threshold)
    assert all(box["score"] > threshold for box in result["boxes"])
    assert bool(result["boxes"]) is bool(threshold < 1)
    if threshold == 0:
        assert len(result["boxes"]) > len(next(model.predict(solvay))["boxes"])


@pytest.mark.parametrize(
    ("img_size", "size_wh"), [(320, (320, 320)), ([640, 512], (640, 512)), ((512, 640), (512, 640))]
)
def test_img_size_is_width_then_height(
    address: dict[str, str], solvay: Path, img_size: object, size_wh: tuple[int, int]
) -> None:
    with tritonface.create_model("BlazeFace", img_size=img_size, **address) as model:
        assert model.img_size_wh == size_wh
        (result,) = model.predict(solvay)
    expected = InProcess(shipped())(solvay.read_bytes(), 0.5, size_wh=size_wh)
    assert [box["score"] for box in result["boxes"]] == pytest.approx([row[0] for row in expected], abs=1e-5)


@pytest.fixture
def result(model: FaceDetector, solvay: Path) -> DetectionResult:
    (only,) = model.predict(str(solvay))
    return only


def test_no_inputs_give_no_results(model: FaceDetector) -> None:
    assert list(model.predict([])) == []


def test_the_shape_of_a_result(result: DetectionResult, solvay: Path) -> None:
    assert isinstance(result, dict) and list(result) == ["input_path", "boxes"]
    assert result["input_path"] == str(solvay)
    scores = [box["score"] for box in result["boxes"]]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0.5
    for box in result["boxes"]:
        assert list(box) == ["cls_id", "label", "score", "coordinate"]
        assert type(box["cls_id"]) is int and box["cls_id"] == 0 and box["label"] == "face"
        x_min, y_min, x_max, y_max = box["coordinate"]
        assert all(type(value) is float for value in [box["score"], *box["coordinate"]])
        assert 0 <= x_min < x_max <= 960 and 0 <= y_min < y_max <= 600


def test_json_and_img(result: DetectionResult) -> None:
    assert result.json == {"res": dict(result)}
    assert list(result.img) == ["res"]
    picture = result.img["res"]
    assert isinstance(picture, Image.Image) and picture.size == (960, 600)
    reds = sum(count for count, pixel in picture.getcolors(2**24) if pixel == (255, 0, 0))
    assert reds > 100 * len(result["boxes"])  # the photo itself is grey


@pytest.mark.parametrize("switch", ["json_format", "format_json"])
def test_print(result: DetectionResult, capsys: pytest.CaptureFixture[str], switch: str) -> None:
    result.print(**{switch: False})
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and ast.literal_eval(line) == result.json
    result.print(**{switch: True}, indent=2)
    text = capsys.readouterr().out
    assert json.loads(text) == result.json and '\n  "res"' in text
    result.print()
    assert '\n    "res"' in capsys.readouterr().out


def test_save_to_json(result: DetectionResult, tmp_path: Path) -> None:
    result.save_to_json(tmp_path / "new" / "folder")
    result.save_to_json(str(tmp_path / "own.json"), indent=None)
    for path in (tmp_path / "new" / "folder" / "solvay_1927_res.json", tmp_path / "own.json"):
        assert json.loads(path.read_text()) == dict(result)


def test_save_to_img(result: DetectionResult, tmp_path: Path) -> None:
    result.save_to_img(f"{tmp_path}/output/")
    result.save_to_img(tmp_path / "own.png")
    for path in (tmp_path / "output" / "solvay_1927_res.jpg", tmp_path / "own.png"):
        with Image.open(path) as image:
            assert image.size == (960, 600)


def test_non_ascii_paths(model: FaceDetector, tmp_path: Path, solvay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(solvay, tmp_path / "人脸.jpg")
    (result,) = model.predict(tmp_path / "人脸.jpg")
    result.print()
    result.print(ensure_ascii=True)
    plain, escaped = capsys.readouterr().out.split("}\n{")
    assert "人脸" in plain and "\\u4eba" in escaped
    result.save_to_json(tmp_path)
    assert "人脸" in (tmp_path / "人脸_res.json").read_text(encoding="utf-8")


def test_a_directory_is_read_recursively_and_sorted(model: FaceDetector, tmp_path: Path, solvay: Path) -> None:
    names = ["b.jpg", "a/z.JPG", "a/y.jpeg", "c/d/e.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(solvay, tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image, not in the suffixes")
    results = list(model.predict(tmp_path, batch_size=2))
    assert [result["input_path"] for result in results] == sorted(str(tmp_path / name) for name in names)


def test_a_list_may_mix_everything(model: FaceDetector, tmp_path: Path, solvay: Path) -> None:
    shutil.copy(solvay, tmp_path / "in_a_folder.jpg")
    with Image.open(solvay) as image:
        rgb = image.convert("RGB")
    rgb.save(tmp_path / "scan.tiff")
    array = np_bgr(rgb)
    results = list(model.predict([array, str(solvay), [solvay, tmp_path]], batch_size=3))
    names = [None, str(solvay), str(solvay), str(tmp_path / "in_a_folder.jpg"), str(tmp_path / "scan.tiff")]
    assert [result["input_path"] for result in results] == names
    assert len({json.dumps(result["boxes"]) for result in results}) == 1


def test_arrays_have_a_file_name_of_their_own(model: FaceDetector, tmp_path: Path, solvay: Path) -> None:
    with Image.open(solvay) as image:
        array = np_bgr(image.convert("RGB"))
    for result in model.predict([array, array]):
        result.save_to_img(tmp_path)
        result.save_to_json(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"image_{i:06d}_res.{suffix}" for i in (0, 1) for suffix in ("json", "png")
    ]


def test_results_come_lazily(model: FaceDetector, solvay: Path) -> None:
    photos = WatchedList([solvay] * 10)
    next(model.predict(photos, batch_size=2))
    assert len(photos.taken) == 2


def np_bgr(image: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
