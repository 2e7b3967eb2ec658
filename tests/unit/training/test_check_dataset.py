from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.dataset import draw_dataset, read, write
from training.check_dataset import run_check_dataset
from training.coco_dataset import load_dataset
from training.config import load_config
from training.config_values import ConfigError
from training.dataset_problems import DatasetError, picture_name
from training.paths import ROOT
from tritonface_server.image_file import CUT_OFF


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data")


def run(dataset: Path, *overrides: str) -> dict[str, Any]:
    settings = [f"Global.dataset_dir={dataset}", f"Global.output={dataset.parent / 'output'}", *overrides]
    return run_check_dataset(load_config(ROOT / "training" / "configs" / "BlazeFace.yaml", settings))


def test_no_data_set() -> None:
    with pytest.raises(ConfigError, match=r"no data set is given; add -o Global\.dataset_dir=FOLDER"):
        run_check_dataset(load_config(ROOT / "training" / "configs" / "BlazeFace.yaml"))


def test_the_result_has_the_documented_shape(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    result = run(dataset)
    attributes = result.pop("attributes")
    assert result == {
        "check_pass": True,
        "analysis": {"histogram": "check_dataset/histogram.png"},
        "dataset_path": str(dataset),
        "show_type": "image",
        "dataset_type": "COCODetDataset",
    }
    samples = {name: attributes.pop(f"{name}_sample_paths") for name in ("train", "val")}
    assert attributes == {"num_classes": 1, "train_samples": 4, "val_samples": 2}
    assert len(samples["train"]) == 3 and len(samples["val"]) == 2
    output = dataset.parent / "output"
    for name, paths in samples.items():
        for path in paths:
            assert path.startswith(f"check_dataset/demo_img/0--Parade/{name}_")
            with Image.open(output / path) as picture:
                assert picture.size == (64, 48)
                red, green, _ = picture.convert("RGB").getpixel((20, 32))
                assert red > green + 60  # the lower edge of the box
    with Image.open(output / "check_dataset" / "histogram.png") as histogram:
        assert min(histogram.size) > 100
    assert "Check dataset passed !" in caplog.messages


def test_boxes_without_area_are_named_and_skipped(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = read(dataset)
    data["annotations"][1]["bbox"] = [5, 5, 0, 9]
    write(dataset, "train", data)
    assert run(dataset)["check_pass"]
    assert (
        "instance_train.json: 1 boxes have no area and are skipped (annotation 2 of '0--Parade/train_2.jpg')"
        in caplog.text
    )
    assert len(load_dataset(dataset)["train"].images[1].boxes_xyxy_px) == 0


def test_pictures_in_both_splits_are_named(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = read(dataset, "val")
    data["images"][0]["file_name"] = "0--Parade/train_1.jpg"
    write(dataset, "val", data)
    assert run(dataset)["check_pass"]
    assert "1 images are in both splits" in caplog.text


def test_more_categories_than_the_network_has(dataset: Path) -> None:
    for split in ("train", "val"):
        data = read(dataset, split)
        data["annotations"][1]["category_id"] = 2
        write(dataset, split, {**data, "categories": [*data["categories"], {"id": 2, "name": "mask"}]})
    with pytest.raises(DatasetError, match=r"2 categories have boxes \(face, mask\), Train.num_classes is 1"):
        run(dataset)


@pytest.mark.fault("A4")
def test_pictures_that_are_cut_off_are_taken_and_told(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = dataset / "images" / "0--Parade" / "train_1.jpg"
    path.write_bytes(path.read_bytes()[:-20])
    load_dataset(dataset)
    assert f"1 images: {CUT_OFF} ('0--Parade/train_1.jpg')" in caplog.text


def test_a_sample_that_cannot_be_decoded(dataset: Path) -> None:
    for path in (dataset / "images" / "0--Parade").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\xff\xdb", b"\xff\xfe"))  # no quantisation tables
    with pytest.raises(DatasetError, match=r"'0--Parade/train_.* cannot be decoded"):
        run(dataset)


HOSTILE = [
    "../train_1.jpg",
    "a/../../b.jpg",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a//b.jpg",
    "a/",
    "..\\b.jpg",
    "a\\..\\..\\b.jpg",
    "\\\\server\\a.jpg",
    "C:\\b.jpg",
    "C:/b.jpg",
    "a\x00.jpg",
    "a\n.jpg",
    "\ud800.jpg",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_file_names(dataset: Path, name: str) -> None:
    with pytest.raises(ValueError, match="it has to stay inside images/"):
        picture_name(name)
    data = read(dataset)
    data["images"][0]["file_name"] = name
    write(dataset, "train", data)
    before = sorted(dataset.parent.rglob("*"))
    with pytest.raises(DatasetError) as error:
        run(dataset)
    where = f"image 1 {name!r}: file_name is {name!r}; it has to stay inside images/"
    assert f"1 images have a wrong file_name ({where})" in str(error.value)
    str(error.value).encode()
    assert sorted(dataset.parent.rglob("*")) == before


ROOT_CATEGORY = {"id": 0, "name": "faces", "supercategory": "none"}


@pytest.mark.fault("B2")
@pytest.mark.parametrize("place", [0, 1])
def test_categories_without_boxes_are_ignored_and_named(
    dataset: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = read(dataset)
    data["categories"].insert(place, ROOT_CATEGORY)
    write(dataset, "train", data)
    assert run(dataset)["attributes"]["num_classes"] == 1
    assert "instance_train.json: categories without boxes are ignored (faces)" in caplog.messages
    split = load_dataset(dataset)["train"]
    assert split.class_names == ("face",)
    assert all(image.class_ids.tolist() == [0] for image in split.images)
