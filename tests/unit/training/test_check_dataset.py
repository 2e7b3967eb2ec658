from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.dataset import draw_dataset, draw_picture, file_of, read, write
from training.check_dataset import check_dataset, run_check_dataset
from training.coco_dataset import load_split
from training.config import load_config
from training.config_values import ConfigError
from training.dataset_problems import DatasetError, safe_name
from training.drawing import draw_boxes, draw_histogram
from tritonface_server.repository import ROOT


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data")


def run(dataset: Path, *overrides: str) -> dict[str, Any]:
    settings = [f"Global.dataset_dir={dataset}", f"Global.output={dataset.parent / 'output'}", *overrides]
    return run_check_dataset(load_config(ROOT / "training" / "configs" / "BlazeFace.yaml", settings))


def split_keys(train_percent: int, seed: int = 0) -> list[str]:
    keys = {"enable": True, "train_percent": train_percent, "seed": seed}
    return [f"CheckDataset.split.{key}={value}" for key, value in keys.items()]


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        check_dataset(tmp_path)
    assert "instance_train.json does not exist" in str(error.value)
    assert "instance_val.json does not exist" in str(error.value)


def test_no_data_set() -> None:
    with pytest.raises(ConfigError, match=r"no data set is given; add -o Global\.dataset_dir=FOLDER"):
        run_check_dataset(load_config(ROOT / "training" / "configs" / "BlazeFace.yaml"))


def test_a_data_set_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a folder"):
        run(tmp_path / "nowhere")


def test_a_sound_data_set(dataset: Path) -> None:
    splits = check_dataset(dataset)
    assert {name: len(split.images) for name, split in splits.items()} == {"train": 4, "val": 2}
    image = splits["train"].images[0]
    assert (image.id, image.file_name, image.size_wh) == (1, "0--Parade/train_1.jpg", (64, 48))
    np.testing.assert_array_equal(image.boxes_xyxy_px, np.array([[10, 8, 30, 32]], np.float32))
    assert image.boxes_xyxy_px.dtype == np.float32
    assert image.class_ids.tolist() == [0] and image.ignored.tolist() == [False]
    assert splits["train"].class_names == ("face",)


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


def test_images_without_boxes_and_ignored_boxes_are_welcome(dataset: Path) -> None:
    data = read(dataset)
    data["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "ignore": 1},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1},
    ]
    write(dataset, "train", data)
    images = load_split(file_of(dataset, "train")).images
    assert [image.ignored.tolist() for image in images] == [[False, True], [True], [], []]
    assert images[3].boxes_xyxy_px.shape == (0, 4)


def test_boxes_within_the_tolerance_are_clipped(dataset: Path) -> None:
    data = read(dataset)
    data["annotations"][0]["bbox"] = [-1, -0.5, 66, 49.5]
    write(dataset, "train", data)
    assert load_split(file_of(dataset, "train")).images[0].boxes_xyxy_px.tolist() == [[0, 0, 64, 48]]


def test_boxes_without_area_are_named_and_skipped(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = read(dataset)
    data["annotations"][1]["bbox"] = [5, 5, 0, 9]
    write(dataset, "train", data)
    assert run(dataset)["check_pass"]
    assert "train: 1 boxes have no area and are skipped (annotation 2 of '0--Parade/train_2.jpg')" in caplog.text
    assert len(load_split(file_of(dataset, "train")).images[1].boxes_xyxy_px) == 0


def test_pictures_in_both_splits_are_named(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = read(dataset, "val")
    data["images"][0]["file_name"] = "0--Parade/train_1.jpg"
    write(dataset, "val", data)
    assert run(dataset)["check_pass"]
    assert "1 images are in both splits" in caplog.text


def change(section: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[section][0].update(values)


def drop(section: str, key: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[section][0].pop(key)


def repeat(section: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[section].append({**data[section][0], **values})


TRAIN_1 = "image 1 '0--Parade/train_1.jpg'"
BROKEN = {
    "no images": (lambda data: data.update(images=[], annotations=[]), "instance_train.json: there are no images"),
    "no boxes": (lambda data: data.update(annotations=[]), "no image has a box to learn from"),
    "only ignored boxes": (
        lambda data: data.update(annotations=[{**data["annotations"][0], "ignore": 1}]),
        "no image has a box to learn from",
    ),
    "no categories": (lambda data: data.update(categories=[]), "there are no categories"),
    "no list": (lambda data: data.pop("images"), "has no list 'images'"),
    "list of another type": (lambda data: data.update(annotations={}), "has no list 'annotations'"),
    "missing image": (change("images", file_name="no.jpg"), "1 images are missing (image 1 'no.jpg')"),
    "folder as image": (change("images", file_name="0--Parade"), "1 images are no files (image 1 '0--Parade')"),
    "too long a name": (change("images", file_name="a" * 300), "1 images are unreadable"),
    "other size": (change("images", width=65), f"({TRAIN_1} (64x48 px, annotated 65x48))"),
    "size as text": (change("images", width="64"), f"have no width and height in whole pixels ({TRAIN_1})"),
    "size missing": (drop("images", "height"), "have no width and height in whole pixels"),
    "image id as text": (change("images", id="1"), "1 images have a wrong shape (image number 1: {'id': '1'"),
    "image is a number": (lambda data: data["images"].append(7), "images have a wrong shape (image number 5: 7)"),
    "image id twice": (repeat("images"), f"1 image ids come twice ({TRAIN_1})"),
    "image file twice": (repeat("images", id=9), "1 file names come twice (image 9 '0--Parade/train_1.jpg')"),
    "annotation id twice": (repeat("annotations"), "1 annotation ids come twice (id 1)"),
    "category id twice": (repeat("categories"), "1 category ids come twice (id 1)"),
    "category without name": (drop("categories", "name"), "1 categories have a wrong shape (category 1"),
    "unknown category": (
        change("annotations", category_id=2),
        "1 annotations are of unknown categories (annotation 1 of '0--Parade/train_1.jpg': category 2)",
    ),
    "unknown image": (change("annotations", image_id=99), "unknown images (annotation 1: image 99)"),
    "box outside": (
        change("annotations", bbox=[50, 8, 15.5, 9]),
        "1 boxes leave their image (annotation 1 of '0--Parade/train_1.jpg': [50, 8, 15.5, 9] in 64x48 px)",
    ),
    "box above": (change("annotations", bbox=[5, -2, 5, 9]), "1 boxes leave their image"),
    "box of three": (change("annotations", bbox=[1, 2, 3]), "1 annotations have a wrong shape (annotation 1: {"),
    "box of text": (change("annotations", bbox=["1", 2, 3, 4]), "1 annotations have a wrong shape"),
    "negative width": (change("annotations", bbox=[9, 2, -3, 4]), "1 annotations have a wrong shape"),
    "NaN": (change("annotations", bbox=[float("nan"), 2, 3, 4]), "1 annotations have a wrong shape"),
    "huge number": (change("annotations", bbox=[10**400, 2, 3, 4]), "1 annotations have a wrong shape"),
    "no box": (drop("annotations", "bbox"), "1 annotations have a wrong shape"),
    "odd crowd": (change("annotations", iscrowd=[1]), "1 annotations have a wrong shape"),
    "annotation is text": (
        lambda data: data["annotations"].append("face"),
        "wrong shape (annotation number 5: 'face')",
    ),
}


@pytest.mark.parametrize(("breaking", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_data_set(dataset: Path, breaking: Callable[[dict[str, Any]], Any], message: str) -> None:
    data = read(dataset)
    breaking(data)
    write(dataset, "train", data)
    with pytest.raises(DatasetError) as error:
        check_dataset(dataset)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '"text"', "\x00"], ids=repr)
def test_what_is_no_annotation_file(dataset: Path, text: str) -> None:
    file_of(dataset, "train").write_text(text)
    with pytest.raises(DatasetError, match=r"instance_train\.json (cannot be read as JSON|has no list)"):
        check_dataset(dataset)


@pytest.mark.parametrize("contents", [b"", b"no picture", b"\xff\xd8\xff\xe0"], ids=["empty", "text", "cut"])
def test_an_unreadable_picture(dataset: Path, contents: bytes) -> None:
    (dataset / "images" / "0--Parade" / "train_1.jpg").write_bytes(contents)
    with pytest.raises(DatasetError) as error:
        check_dataset(dataset)
    assert f"instance_train.json: 1 images are unreadable ({TRAIN_1} (not JPEG" in str(error.value)


def test_a_pipe_as_picture_does_not_block(dataset: Path) -> None:
    path = dataset / "images" / "0--Parade" / "train_1.jpg"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DatasetError, match="1 images are no files"):
        check_dataset(dataset)


def test_all_problems_are_told_at_once_and_the_first_ones_named(dataset: Path) -> None:
    data = read(dataset)
    for entry in data["annotations"]:
        entry["category_id"] = 5
    write(dataset, "train", data)
    (dataset / "images" / "0--Parade" / "val_2.jpg").unlink()
    with pytest.raises(DatasetError) as error:
        check_dataset(dataset)
    named = "; ".join(f"annotation {i} of '0--Parade/train_{i}.jpg': category 5" for i in (1, 2, 3))
    assert f"4 annotations are of unknown categories ({named}; ...)" in str(error.value)
    assert "instance_val.json: 1 images are missing (image 2 '0--Parade/val_2.jpg')" in str(error.value)


def test_a_picture_lying_on_its_side_counts_upright(dataset: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_picture(dataset / "images" / "0--Parade" / "train_1.jpg", (48, 64), exif=exif)
    assert check_dataset(dataset)


def test_categories_must_be_those_of_the_other_split(dataset: Path) -> None:
    write(dataset, "val", {**read(dataset, "val"), "categories": [{"id": 1, "name": "head"}]})
    with pytest.raises(DatasetError, match="the categories differ"):
        check_dataset(dataset)


def test_more_categories_than_the_network_has(dataset: Path) -> None:
    for split in ("train", "val"):
        data = read(dataset, split)
        write(dataset, split, {**data, "categories": [*data["categories"], {"id": 2, "name": "mask"}]})
    with pytest.raises(DatasetError, match=r"has 2 categories \(face, mask\), Train.num_classes is 1"):
        run(dataset)


def test_a_sample_that_cannot_be_decoded(dataset: Path) -> None:
    for path in (dataset / "images" / "0--Parade").iterdir():
        path.write_bytes(path.read_bytes()[:-20])
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
    "./a.jpg",
    "..\\b.jpg",
    "C:/b.jpg",
    "a\x00.jpg",
    "a\n.jpg",
    "\ud800.jpg",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_file_names(dataset: Path, name: str) -> None:
    assert not safe_name(name)
    data = read(dataset)
    data["images"][0]["file_name"] = name
    write(dataset, "train", data)
    before = sorted(dataset.parent.rglob("*"))
    with pytest.raises(DatasetError) as error:
        run(dataset)
    assert f"file names are not allowed, they must stay inside images/ (image 1 {name!r})" in str(error.value)
    str(error.value).encode()
    assert sorted(dataset.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["a.jpg", "a/b/c.png", "..a.jpg", "a..b/c.jpg", "-o.jpg", "é ü.jpg"])
def test_harmless_file_names(name: str) -> None:
    assert safe_name(name)


def test_splitting_anew_keeps_everything(dataset: Path) -> None:
    before = {split: file_of(dataset, split).read_bytes() for split in ("train", "val")}
    attributes = run(dataset, *split_keys(50))["attributes"]
    assert (attributes["train_samples"], attributes["val_samples"]) == (3, 3)
    for split, contents in before.items():
        assert (file_of(dataset, split).parent / f"instance_{split}.json.bak").read_bytes() == contents
    parts = [load_split(file_of(dataset, split)).images for split in ("train", "val")]
    names = [image.file_name for part in parts for image in part]
    assert len(set(names)) == 6
    assert all(image.boxes_xyxy_px.tolist() == [[10, 8, 30, 32]] for part in parts for image in part)


def test_splitting_is_repeatable_whatever_the_split_before(dataset: Path, tmp_path: Path) -> None:
    run(dataset, *split_keys(50, seed=3))
    first = {split: file_of(dataset, split).read_bytes() for split in ("train", "val")}
    run(dataset, *split_keys(50, seed=3))
    assert len(list((dataset / "annotations").iterdir())) == 4  # the second run wrote nothing
    other = draw_dataset(tmp_path / "other")
    data = read(other)
    random.Random(1).shuffle(data["images"])
    write(other, "train", data)
    run(other, *split_keys(50, seed=3))
    assert {split: file_of(other, split).read_bytes() for split in first} == first


def test_no_original_is_ever_overwritten(dataset: Path) -> None:
    original = file_of(dataset, "train").read_bytes()
    run(dataset, *split_keys(50))
    run(dataset, *split_keys(67))
    names = sorted(path.name for path in (dataset / "annotations").glob("*train*"))
    assert names == ["instance_train.json", "instance_train.json.bak", "instance_train.json.bak.1"]
    assert (dataset / "annotations" / "instance_train.json.bak").read_bytes() == original


def test_splitting_needs_one_file_only(dataset: Path) -> None:
    file_of(dataset, "val").unlink()
    attributes = run(dataset, *split_keys(75))["attributes"]
    assert (attributes["train_samples"], attributes["val_samples"]) == (3, 1)


@pytest.mark.parametrize("percent", [0, 1, 99, 100])
def test_a_split_without_pictures_is_refused_and_nothing_written(dataset: Path, percent: int) -> None:
    before = {path: path.read_bytes() for path in (dataset / "annotations").iterdir()}
    with pytest.raises(DatasetError, match="leaves a split without images; nothing was split"):
        run(dataset, *split_keys(percent))
    assert {path: path.read_bytes() for path in (dataset / "annotations").iterdir()} == before


def test_a_picture_in_both_files_cannot_be_split(dataset: Path) -> None:
    write(dataset, "val", read(dataset, "train"))
    with pytest.raises(DatasetError, match="4 images are in another annotation file too"):
        run(dataset, *split_keys(50))


def test_damaged_annotations_are_not_split(dataset: Path) -> None:
    data = read(dataset)
    data["images"][0]["file_name"] = "../x.jpg"
    write(dataset, "train", data)
    with pytest.raises(DatasetError, match="file names are not allowed"):
        run(dataset, *split_keys(50))
    assert json.loads(file_of(dataset, "train").read_text()) == data


def test_drawing_no_boxes_changes_nothing() -> None:
    picture = Image.new("RGB", (30, 20), (1, 2, 3))
    assert draw_boxes(picture, np.empty((0, 4)), []).tobytes() == picture.tobytes()


@pytest.mark.parametrize("counts", [[0], [1, 7], list(range(60))], ids=len)
def test_histograms_of_any_number_of_classes(counts: list[int]) -> None:
    each = np.array(counts)
    assert draw_histogram([f"class {i}" for i in counts], {"train": each, "val": each}).width >= 300
