"""A result: a dict, its faces as arrays, and files that do not replace each other."""

from __future__ import annotations

import copy
import io
import json
import pickle
import pprint
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonface import Box, DetectionResult, ImageError
from tritonface._saved_names import SavedNames


def made(
    count: int = 2, name: str = "x.jpg", origin: str | None = None, error: ImageError | None = None
) -> DetectionResult:
    boxes = [
        Box(cls_id=i, label="face", score=0.9 - i / 10, coordinate=[1.5 + i, 2.0, 3.0 + i, 4.0]) for i in range(count)
    ]
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    origin = f"/somewhere/{name}" if origin is None else origin
    return DetectionResult(origin, boxes, file_name=name, origin=origin, encoded=buffer.getvalue(), error=error)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_faces_as_arrays(count: int) -> None:
    result = made(count)
    assert len(result) == count == len(result["boxes"])
    assert result.xyxy.shape == (count, 4) and result.xyxy.dtype == np.float32
    assert result.scores.shape == (count,) and result.scores.dtype == np.float32
    assert result.class_ids.tolist() == list(range(count)) and result.class_ids.dtype == np.int64
    assert result.xyxy.tolist() == [box["coordinate"] for box in result["boxes"]]
    assert result.scores.tolist() == pytest.approx([box["score"] for box in result["boxes"]])


@pytest.mark.parametrize("count", [0, 2])
def test_it_is_a_dict_in_all_else(count: int) -> None:
    result = made(count)
    plain = {"input_path": "/somewhere/x.jpg", "boxes": result["boxes"]}
    assert result and bool(result) is True  # without faces too
    assert isinstance(result, dict) and result == plain and dict(result) == plain and {**result} == plain
    assert list(result) == list(result.keys()) == ["input_path", "boxes"] and len(result.items()) == 2
    assert repr(result) == str(result) == repr(plain)
    assert json.loads(json.dumps(result)) == json.loads(json.dumps(result, indent=2)) == plain
    assert "boxes" in pprint.pformat(result, width=20)
    for twin in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):  # noqa: S301
        assert type(twin) is DetectionResult and twin == result and twin.picture().size == (8, 8)


@pytest.mark.fault("A12")
def test_what_paddlex_has(tmp_path: Path) -> None:
    result = made()
    assert result.str == result.json == {"res": dict(result)}
    result.save_all(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["x_res.jpg", "x_res.json"]


def test_a_result_with_an_error() -> None:
    result = made(0, error=ImageError("bad"))
    assert result["error"] == "bad" and len(result) == 0 and result and result.xyxy.shape == (0, 4)
    assert pickle.loads(pickle.dumps(result)).error.args == ("bad",)  # noqa: S301
    with pytest.raises(ImageError):
        result.save_all("/nowhere")


def saved(folder: Path) -> dict[str, str]:
    return {path.name: json.loads(path.read_text())["input_path"] for path in folder.glob("*.json")}


@pytest.mark.fault("A11")
def test_equal_names_from_several_folders_stay_apart(tmp_path: Path) -> None:
    paths = ["a/x.jpg", "b/x.jpg", "c/x.png", "x_2.jpg"]
    for path in paths:
        made(1, Path(path).name, path).save_to_json(tmp_path)
    assert saved(tmp_path) == {f"{stem}_res.json": path for stem, path in zip(["x", "x_2", "x_3", "x_2_2"], paths)}
    for path in paths:  # pictures go with them
        made(1, Path(path).name, path).save_to_img(tmp_path)
    assert {p.name for p in tmp_path.glob("*g")} == {"x_res.jpg", "x_2_res.jpg", "x_3_res.png", "x_2_2_res.jpg"}


@pytest.mark.fault("A11")
def test_the_same_input_renews_its_files(tmp_path: Path) -> None:
    for count in (1, 2):
        made(count).save_all(tmp_path)
        made(count).save_all(f"{tmp_path}/sub/..")  # the same folder
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["x_res.jpg", "x_res.json"]


@pytest.mark.fault("A11")
def test_each_folder_has_names_of_its_own(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        made(1, origin=folder).save_to_json(tmp_path / folder)
        assert list(saved(tmp_path / folder)) == ["x_res.json"]


def test_a_file_that_is_named_is_written(tmp_path: Path) -> None:
    for origin in ("a/x.jpg", "b/x.jpg"):
        made(1, origin=origin).save_to_json(tmp_path / "res.json")
    assert saved(tmp_path) == {"res.json": "b/x.jpg"}


def test_many_images_of_one_name(tmp_path: Path) -> None:
    names = SavedNames()
    assert [names.name(tmp_path, "x", str(i)) for i in range(4)] == ["x", "x_2", "x_3", "x_4"]
    assert names.name(tmp_path, "x", "2") == "x_3"
