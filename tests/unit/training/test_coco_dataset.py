from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.dataset import draw_dataset, draw_picture, file_of, read, write
from training.coco_dataset import for_labels, load_dataset
from training.dataset_pictures import read_picture
from training.dataset_problems import DatasetError


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        load_dataset(tmp_path)
    assert "instance_train.json does not exist" in str(error.value)
    assert "instance_val.json does not exist" in str(error.value)


def test_a_data_set_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a folder"):
        load_dataset(tmp_path / "nowhere")


def test_a_sound_data_set(dataset: Path) -> None:
    splits = load_dataset(dataset)
    assert {name: len(split.images) for name, split in splits.items()} == {"train": 4, "val": 2}
    image = splits["train"].images[0]
    assert (image.id, image.file_name, image.size_wh) == (1, "0--Parade/train_1.jpg", (64, 48))
    np.testing.assert_array_equal(image.boxes_xyxy_px, np.array([[10, 8, 30, 32]], np.float32))
    assert image.boxes_xyxy_px.dtype == np.float32
    assert image.class_ids.tolist() == [0] and image.ignored.tolist() == [False]
    assert splits["train"].class_names == ("face",)


def test_images_without_boxes_and_ignored_boxes_are_welcome(dataset: Path) -> None:
    data = read(dataset)
    data["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "ignore": 1},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1},
    ]
    write(dataset, "train", data)
    images = load_dataset(dataset)["train"].images
    assert [image.ignored.tolist() for image in images] == [[False, True], [True], [], []]
    assert images[3].boxes_xyxy_px.shape == (0, 4)


def test_boxes_within_the_tolerance_are_clipped(dataset: Path) -> None:
    data = read(dataset)
    data["annotations"][0]["bbox"] = [-1, -0.5, 66, 49.5]
    write(dataset, "train", data)
    assert load_dataset(dataset)["train"].images[0].boxes_xyxy_px.tolist() == [[0, 0, 64, 48]]


def change(section: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[section][0].update(values)


def drop(section: str, key: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[section][0].pop(key)


def repeat(section: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[section].append({**data[section][0], **values})


TRAIN_1 = "image 1 '0--Parade/train_1.jpg'"


FACE_1 = f"annotation 1 of {TRAIN_1}"


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
    "size as text": (
        change("images", width="wide"),
        f"1 images have a wrong width ({TRAIN_1}: width is 'wide'; it should be a valid integer",
    ),
    "part of a pixel": (change("images", width=64.5), f"({TRAIN_1}: width is 64.5; it should be a valid integer, got"),
    "no width": (change("images", width=0), f"({TRAIN_1}: width is 0; it should be greater than 0)"),
    "size missing": (drop("images", "height"), f"1 images have a wrong height ({TRAIN_1}: height is missing)"),
    "image id as text": (
        change("images", id="one"),
        "images have a wrong id (image number 1 '0--Parade/train_1.jpg': id is 'one'; it should be a valid integer",
    ),
    "image is a number": (
        lambda data: data["images"].append(7),
        "images have a wrong shape (image number 5: shape is 7; it should be an object)",
    ),
    "image id twice": (repeat("images"), f"1 image ids come twice ({TRAIN_1})"),
    "image file twice": (repeat("images", id=9), "1 file names come twice (image 9 '0--Parade/train_1.jpg')"),
    "image file twice in other words": (
        repeat("images", id=9, file_name=".\\0--Parade\\train_1.jpg"),
        "1 file names come twice (image 9 '0--Parade/train_1.jpg')",
    ),
    "annotation id twice": (repeat("annotations"), f"1 annotation ids come twice ({FACE_1})"),
    "category id twice": (repeat("categories"), "1 category ids come twice (category 1 'face')"),
    "category without name": (drop("categories", "name"), "categories have a wrong name (category 1: name is missing)"),
    "unknown category": (
        change("annotations", category_id=2),
        f"1 annotations are of unknown categories ({FACE_1}: category_id is 2)",
    ),
    "unknown image": (change("annotations", image_id=99), "unknown images (annotation 1: image_id is 99)"),
    "box outside": (
        change("annotations", bbox=[50, 8, 15.5, 9]),
        f"1 boxes leave their image ({FACE_1}: bbox is [50.0, 8.0, 15.5, 9.0], by 1.5 px outside 64x48)",
    ),
    "box above": (change("annotations", bbox=[5, -2, 5, 9]), "1 boxes leave their image"),
    "box of three": (
        change("annotations", bbox=[1, 2, 3]),
        f"1 annotations have a wrong bbox ({FACE_1}: bbox[3] is missing)",
    ),
    "box of five": (change("annotations", bbox=[1, 2, 3, 4, 5]), f"({FACE_1}: bbox is [1, 2, 3, 4, 5]; it should have"),
    "box of text": (change("annotations", bbox=["left", 2, 3, 4]), f"({FACE_1}: bbox[0] is 'left'; it should be a val"),
    "negative width": (change("annotations", bbox=[9, 2, -3, 4]), f"({FACE_1}: bbox[2] is -3; it should be greater"),
    "NaN": (change("annotations", bbox=[float("nan"), 2, 3, 4]), f"({FACE_1}: bbox[0] is nan; it should be a finite"),
    "infinite": (change("annotations", bbox=[1, 2, float("inf"), 4]), f"({FACE_1}: bbox[2] is inf; it should be a fin"),
    "huge number": (change("annotations", bbox=[10**400, 2, 3, 4]), f"({FACE_1}: bbox[0] is 10000"),
    "no box": (drop("annotations", "bbox"), f"({FACE_1}: bbox is missing)"),
    "no image id": (drop("annotations", "image_id"), "(annotation 1: image_id is missing)"),
    "odd crowd": (change("annotations", iscrowd=[1]), f"({FACE_1}: iscrowd is [1]; it should be a valid boolean)"),
    "annotation is text": (
        lambda data: data["annotations"].append("face"),
        "wrong shape (annotation number 5: shape is 'face'; it should be an object)",
    ),
    "a long value": (change("annotations", bbox="x" * 500), f"{FACE_1}: bbox is '{'x' * 190}"),
}


@pytest.mark.fault("B3")
@pytest.mark.parametrize(("breaking", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_data_set(dataset: Path, breaking: Callable[[dict[str, Any]], Any], message: str) -> None:
    data = read(dataset)
    breaking(data)
    write(dataset, "train", data)
    with pytest.raises(DatasetError) as error:
        load_dataset(dataset)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '"text"', "\x00"], ids=repr)
def test_what_is_no_annotation_file(dataset: Path, text: str) -> None:
    file_of(dataset, "train").write_text(text)
    with pytest.raises(DatasetError, match=r"instance_train\.json (cannot be read as JSON|has no list)"):
        load_dataset(dataset)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "the image is empty"),
        (b"no picture", "not a JPEG"),
        (b"\xff\xd8\xff\xe0", "the image header is damaged"),
    ],
    ids=["empty", "text", "cut"],
)
def test_an_unreadable_picture(dataset: Path, contents: bytes, reason: str) -> None:
    (dataset / "images" / "0--Parade" / "train_1.jpg").write_bytes(contents)
    with pytest.raises(DatasetError) as error:
        load_dataset(dataset)
    assert f"instance_train.json: 1 images are unreadable ({TRAIN_1} ({reason}" in str(error.value)


@pytest.mark.fault("B29")
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_would_make_us_wait_for_ever_is_refused(dataset: Path, kind: str) -> None:
    for path in (dataset / "images" / "0--Parade" / "train_1.jpg", file_of(dataset, "val")):
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        with pytest.raises(OSError, match="not a file"):
            read_picture(path)
    with pytest.raises(DatasetError) as error:
        load_dataset(dataset)
    assert f"1 images are no files ({TRAIN_1})" in str(error.value)
    assert "instance_val.json is not a file" in str(error.value)


def test_all_problems_are_told_at_once_and_the_first_ones_named(dataset: Path) -> None:
    data = read(dataset)
    for entry in data["annotations"]:
        entry["category_id"] = 5
    write(dataset, "train", data)
    (dataset / "images" / "0--Parade" / "val_2.jpg").unlink()
    with pytest.raises(DatasetError) as error:
        load_dataset(dataset)
    named = "; ".join(f"annotation {i} of image {i} '0--Parade/train_{i}.jpg': category_id is 5" for i in (1, 2, 3))
    assert f"4 annotations are of unknown categories ({named}; ...)" in str(error.value)
    assert "instance_val.json: 1 images are missing (image 2 '0--Parade/val_2.jpg')" in str(error.value)


@pytest.mark.fault("A1")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_lying_on_its_side_counts_upright(dataset: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = dataset / "images" / "0--Parade" / "train_1.jpg"
    draw_picture(path, (48, 64), exif=exif, format=kind)
    assert load_dataset(dataset)
    draw_picture(path, (64, 48), exif=exif, format=kind)
    with pytest.raises(DatasetError) as error:
        load_dataset(dataset)
    told = "48x64 px, annotated 64x48; boxes belong to the picture as its orientation turns it"
    assert f"({TRAIN_1} ({told}))" in str(error.value)


def test_categories_must_be_those_of_the_other_split(dataset: Path) -> None:
    write(dataset, "val", {**read(dataset, "val"), "categories": [{"id": 1, "name": "head"}]})
    with pytest.raises(DatasetError, match="the categories differ"):
        load_dataset(dataset)


def with_masks(dataset: Path, split: str, ids: dict[str, int], names: list[str]) -> None:
    """Give a split these categories, and its boxes one after the other those of `names`."""
    data = read(dataset, split)
    for entry, name in zip(data["annotations"], names, strict=True):
        entry["category_id"] = ids[name]
    data["categories"] = [{"id": number, "name": name} for name, number in ids.items()]
    write(dataset, split, data)


def classes_of(dataset: Path, num_classes: int = 2) -> dict[str, list[str]]:
    """The class names of all boxes of each split."""
    splits = load_dataset(dataset, num_classes)
    assert all(image.class_ids.dtype == np.int64 for split in splits.values() for image in split.images)
    return {
        name: [split.class_names[class_id] for image in split.images for class_id in image.class_ids]
        for name, split in splits.items()
    }


def test_classes_are_in_the_order_of_their_ids(dataset: Path) -> None:
    of_train, of_val = ["bare", "mask", "mask", "bare"], ["mask", "bare"]
    with_masks(dataset, "train", {"heads": 0, "mask": 7, "bare": 3}, of_train)
    with_masks(dataset, "val", {"bare": 9, "mask": 1}, of_val)  # other ids: the names count
    assert classes_of(dataset) == {"train": of_train, "val": of_val}
    assert {split.class_names for split in load_dataset(dataset, 2).values()} == {("bare", "mask")}


def test_a_class_that_no_validation_picture_has_is_told(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "training")
    with_masks(dataset, "train", {"mask": 1, "bare": 2}, ["bare", "mask", "mask", "bare"])
    with_masks(dataset, "val", {"mask": 1, "bare": 2}, ["bare", "bare"])
    assert classes_of(dataset)["val"] == ["bare", "bare"]
    assert "no picture to be judged by has mask: the AP says nothing of that" in caplog.text


IDS = {"mask": 1, "bare": 2}


@pytest.mark.parametrize(
    ("of_train", "of_val", "num_classes", "message"),
    [
        ("mask bare mask bare", "mask bare", 1, r"2 categories have boxes \(mask, bare\)"),
        ("mask bare mask bare", "mask bare", 3, "num_classes is 3; add -o Train.num_classes=2"),
        ("mask mask mask mask", "mask bare", 1, r"categories differ: \('mask',\) and \('mask', 'bare'\)"),
        ("mask mask mask mask", "bare bare", 1, r"categories differ: \('mask',\) and \('bare',\)"),
    ],
)
def test_classes_that_do_not_fit(dataset: Path, of_train: str, of_val: str, num_classes: int, message: str) -> None:
    with_masks(dataset, "train", IDS, of_train.split())
    with_masks(dataset, "val", IDS, of_val.split())
    with pytest.raises(DatasetError, match=message):
        load_dataset(dataset, num_classes)


def test_two_classes_of_one_name(dataset: Path) -> None:
    with_masks(dataset, "train", IDS, ["mask", "bare", "bare", "bare"])
    data = read(dataset)
    write(dataset, "train", {**data, "categories": [{"id": 1, "name": "mask"}, {"id": 2, "name": "mask"}]})
    with pytest.raises(DatasetError, match=r"train.json: 1 categories have the name of another one \('mask'\)"):
        load_dataset(dataset, 2)


def test_classes_of_a_detector(dataset: Path) -> None:
    with_masks(dataset, "train", IDS, ["mask", "bare", "bare", "bare"])
    with_masks(dataset, "val", IDS, ["mask", "mask"])
    train = load_dataset(dataset, 2)["train"]
    turned = for_labels(train, ("hat", "bare", "mask"))
    assert [image.class_ids.tolist() for image in turned.images] == [[2], [1], [1], [1]]
    assert turned.class_names == ("hat", "bare", "mask")
    with pytest.raises(
        DatasetError, match=r"\(mask, bare\), and the detector's labels are face: it does not know mask"
    ):
        for_labels(train, ("face",))
