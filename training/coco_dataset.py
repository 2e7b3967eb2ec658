"""COCO annotation files, validated: what training, evaluation and the check of a data set read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.dataset_problems import PLAUSIBLE, DatasetError, Problems, excerpt, is_id, is_number, name_of, safe_name

IMAGES, ANNOTATIONS = "images", "annotations"
SPLITS = ("train", "val")
OUTSIDE_TOLERANCE_PX = 1.0
"""Boxes may leave their picture by this much, which rounding does, and are clipped; more is an error."""


@dataclass(frozen=True)
class CocoImage:
    """A picture and what is annotated on it.

    Attributes:
        id: unique within its file.
        file_name: relative to `images/`, safe to join to a folder.
        size_wh: pixels of the upright picture.
        boxes_xyxy_px: float32 [K, 4], clipped to the picture, none of them empty.
        class_ids: int64 [K], index into `CocoSplit.class_names`.
        ignored: bool [K], marked `ignore` or `iscrowd`: neither to be found nor to be missed.
    """

    id: int
    file_name: str
    size_wh: tuple[int, int]
    boxes_xyxy_px: np.ndarray
    class_ids: np.ndarray
    ignored: np.ndarray


@dataclass(frozen=True)
class CocoSplit:
    """One annotation file.

    Attributes:
        class_names: in the order of their category ids.
        empty_boxes: annotations without area, as `annotation 7 of 'a.jpg'`; they are left out of `images`.
    """

    images: tuple[CocoImage, ...]
    class_names: tuple[str, ...]
    empty_boxes: tuple[str, ...] = ()


def annotation_file(dataset: Path, split: str) -> Path:
    """Where a data set keeps the annotations of "train" or "val"."""
    return dataset / ANNOTATIONS / f"instance_{split}.json"


def load_split(path: Path) -> CocoSplit:
    """Read and validate one annotation file.

    Raises:
        DatasetError: with everything that is wrong.
    """
    problems = Problems(path.name)
    split = parse_split(read_annotations(path), problems)
    check_not_empty(split, problems)
    if problems.by_kind:
        raise DatasetError(str(problems))
    return split


def read_annotations(path: Path) -> dict[str, list[Any]]:
    """The JSON object of an annotation file, its three lists checked to be there.

    Raises:
        DatasetError: no such file, no JSON, or a list is missing.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; a data set has {IMAGES}/ and {ANNOTATIONS}/{path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise DatasetError(f"{path} has no list {key!r}; a COCO file is an object with that list")
    return data


def parse_split(data: dict[str, list[Any]], problems: Problems) -> CocoSplit:
    """What is good of an annotation file; what is not goes into `problems`."""
    names = _categories(data["categories"], problems)
    class_of = {category: index for index, category in enumerate(sorted(names))}
    images = _images(data["images"], problems)
    boxes: dict[int, list[tuple[list[float], int, bool]]] = {image_id: [] for image_id in images}
    empty, seen = [], set()
    for index, entry in enumerate(data["annotations"]):
        if not _is_annotation(entry):
            problems.add("annotations have a wrong shape", f"{name_of(entry, 'annotation', index)}: {excerpt(entry)}")
            continue
        if entry["id"] in seen:
            problems.add("annotation ids come twice", f"id {entry['id']}")
        seen.add(entry["id"])
        if entry["image_id"] not in images:
            problems.add("annotations are of unknown images", f"annotation {entry['id']}: image {entry['image_id']}")
            continue
        file_name, size_wh = images[entry["image_id"]]
        where = f"annotation {entry['id']} of {file_name!r}"
        if entry["category_id"] not in class_of:
            problems.add("annotations are of unknown categories", f"{where}: category {entry['category_id']}")
            continue
        box, outside_px = _clipped(entry["bbox"], size_wh)
        if outside_px > OUTSIDE_TOLERANCE_PX:
            problems.add("boxes leave their image", f"{where}: {entry['bbox']} in {size_wh[0]}x{size_wh[1]} px")
        elif box[2] <= box[0] or box[3] <= box[1]:
            empty.append(where)
        else:
            ignored = bool(entry.get("ignore") or entry.get("iscrowd"))
            boxes[entry["image_id"]].append((box, class_of[entry["category_id"]], ignored))
    parsed = tuple(_image(image_id, *images[image_id], boxes[image_id]) for image_id in images)
    return CocoSplit(parsed, tuple(names[category] for category in sorted(names)), tuple(empty))


def check_not_empty(split: CocoSplit, problems: Problems) -> None:
    """A split must have images and, among them, a box that is not ignored."""
    if not split.images:
        problems.add("there are no images")
    elif not any((~image.ignored).any() for image in split.images):
        problems.add("no image has a box to learn from or to be judged by")


def check_class_count(split: CocoSplit, num_classes: int) -> None:
    """DatasetError unless the annotations are of so many categories."""
    names = split.class_names
    if len(names) != num_classes:
        raise DatasetError(
            f"the data set has {len(names)} categories ({', '.join(names[:5])}), Train.num_classes is {num_classes}"
        )


def _categories(entries: list[Any], problems: Problems) -> dict[int, str]:
    names: dict[int, str] = {}
    for index, entry in enumerate(entries):
        if not (isinstance(entry, dict) and is_id(entry.get("id")) and isinstance(entry.get("name"), str)):
            problems.add("categories have a wrong shape", f"{name_of(entry, 'category', index)}: {excerpt(entry)}")
        elif entry["id"] in names:
            problems.add("category ids come twice", f"id {entry['id']}")
        else:
            names[entry["id"]] = entry["name"]
    if not entries:
        problems.add("there are no categories")
    return names


def _images(entries: list[Any], problems: Problems) -> dict[int, tuple[str, tuple[int, int]]]:
    images: dict[int, tuple[str, tuple[int, int]]] = {}
    names: set[str] = set()
    for index, entry in enumerate(entries):
        if not (isinstance(entry, dict) and is_id(entry.get("id")) and isinstance(entry.get("file_name"), str)):
            problems.add("images have a wrong shape", f"{name_of(entry, 'image', index)}: {excerpt(entry)}")
            continue
        where = f"image {entry['id']} {entry['file_name']!r}"
        sides = [entry.get("width"), entry.get("height")]
        if not all(type(side) is int and 0 < side < PLAUSIBLE for side in sides):
            problems.add("images have no width and height in whole pixels", where)
        elif not safe_name(entry["file_name"]):
            problems.add("file names are not allowed, they must stay inside images/", where)
        elif entry["id"] in images:
            problems.add("image ids come twice", where)
        else:
            if entry["file_name"] in names:
                problems.add("file names come twice", where)
            names.add(entry["file_name"])
            images[entry["id"]] = (entry["file_name"], (sides[0], sides[1]))
    return images


def _is_annotation(entry: Any) -> bool:
    if not isinstance(entry, dict) or not all(is_id(entry.get(key)) for key in ("id", "image_id", "category_id")):
        return False
    box = entry.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box)) and min(box[2:]) >= 0):
        return False
    return all(entry.get(mark, 0) in (0, 1) for mark in ("iscrowd", "ignore"))


def _clipped(bbox_xywh: list[float], size_wh: tuple[int, int]) -> tuple[list[float], float]:
    """The box as xyxy inside its picture, and by how many pixels it left it."""
    x, y, width, height = bbox_xywh
    outside_px = max(-x, -y, x + width - size_wh[0], y + height - size_wh[1], 0)
    corners = zip([x, y, x + width, y + height], (*size_wh, *size_wh))
    return [float(min(max(value, 0), limit)) for value, limit in corners], outside_px


def _image(
    image_id: int, file_name: str, size_wh: tuple[int, int], rows: list[tuple[list[float], int, bool]]
) -> CocoImage:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    classes = np.array([row[1] for row in rows], np.int64)
    return CocoImage(image_id, file_name, size_wh, boxes, classes, np.array([row[2] for row in rows], bool))
