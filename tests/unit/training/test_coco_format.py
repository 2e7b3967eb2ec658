"""What may stand in an annotation file: what means the same is taken, the rest is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dataset import draw_dataset, file_of, read, write
from training.coco_dataset import load_dataset
from training.coco_format import parse_split
from training.dataset_problems import Problems, picture_name
from training.resplit import resplit


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data")


@pytest.mark.parametrize("name", ["a.jpg", "a/b/c.png", "..a.jpg", "a..b/c.jpg", "-o.jpg", "é ü.jpg"])
def test_harmless_file_names(name: str) -> None:
    assert picture_name(name) == name


SAME_PICTURE = ["./0--Parade/train_1.jpg", "0--Parade\\train_1.jpg", ".\\0--Parade\\.\\train_1.jpg"]


@pytest.mark.fault("B1")
@pytest.mark.parametrize("name", SAME_PICTURE)
def test_file_names_that_mean_the_same(dataset: Path, name: str) -> None:
    data = read(dataset)
    data["images"][0]["file_name"] = name
    write(dataset, "train", data)
    assert load_dataset(dataset)["train"].images[0].file_name == "0--Parade/train_1.jpg"
    resplit(dataset, 50, 0)
    assert len({image.file_name for split in load_dataset(dataset).values() for image in split.images}) == 6


SAME_VALUES = {
    "whole floats": lambda data: [
        data["images"][0].update(id=1.0, width=64.0, height=48.0),
        data["annotations"][0].update(id=1.0, image_id=1.0, category_id=1.0, iscrowd=0.0),
    ],
    "text": lambda data: data["images"][0].update(id="1", width="64"),
    "true and false": lambda data: data["annotations"][0].update(iscrowd=False, ignore=False),
    "null": lambda data: data["annotations"][0].update(iscrowd=None, ignore=None, area=None),
}


@pytest.mark.fault("B3")
@pytest.mark.parametrize("writing", SAME_VALUES.values(), ids=SAME_VALUES)
def test_values_that_mean_the_same(dataset: Path, writing: Callable[[dict[str, Any]], Any]) -> None:
    before = load_dataset(dataset)["train"]
    data = read(dataset)
    writing(data)
    write(dataset, "train", data)
    after = load_dataset(dataset)["train"]
    for one, other in zip(before.images, after.images, strict=True):
        assert (one.id, one.file_name, one.size_wh) == (other.id, other.file_name, other.size_wh)
        for name in ("boxes_xyxy_px", "class_ids", "ignored", "areas_px"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    resplit(dataset, 50, 0)


@pytest.mark.fault("B3")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings_of_json(dataset: Path, encoding: str) -> None:
    file = file_of(dataset, "train")
    file.write_text(file.read_text(), encoding=encoding)
    assert len(load_dataset(dataset)["train"].images) == 4


ODD_VALUES = [
    None,
    True,
    -1,
    0,
    1.5,
    10**400,
    -0.0,
    float("nan"),
    float("-inf"),
    "",
    "1",
    "\x00",
    "\ud800",
    [],
    [[]],
    {},
]
PLACES = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore"),
    "categories": ("id", "name"),
}


@pytest.mark.fault("B3")
@pytest.mark.parametrize(("section", "key"), [(section, key) for section, keys in PLACES.items() for key in keys])
def test_any_value_anywhere_is_taken_or_told(dataset: Path, section: str, key: str) -> None:
    """Whatever stands in a field, in an entry or in the list: no other error, no second line, the file named."""
    sound = read(dataset)
    for odd in ODD_VALUES:
        for wrong in ({**sound[section][0], key: odd}, odd):
            data = {**sound, section: [wrong, *sound[section][1:]]}
            problems = Problems("instance_train.json")
            split = parse_split(data, problems)
            assert "\n" not in str(problems) and str(problems).startswith("instance_train.json: ")
            str(problems).encode()
            assert all(np.isfinite(image.boxes_xyxy_px).all() for image in split.images)
