"""A data set in COCO's format, read and checked in one way by every mode."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from training.coco_format import CocoImage, CocoSplit, parse_split
from training.dataset_pictures import check_pictures
from training.dataset_problems import DatasetError, Problems, first_of

LOG = logging.getLogger(__name__)
IMAGES, ANNOTATIONS = "images", "annotations"
SPLITS = ("train", "val")
RENEWED = ".split"
"""In `annotations/`: files that are valid already and only have to be moved up; see `training.resplit`."""
LISTS = ("images", "annotations", "categories")

__all__ = ["CocoImage", "CocoSplit", "annotation_file", "load_dataset", "load_split", "read_annotations"]


def annotation_file(dataset: Path, split: str) -> Path:
    """Where a data set keeps the annotations of "train" or "val"."""
    file = dataset / ANNOTATIONS / f"instance_{split}.json"
    renewed = file.parent / RENEWED / file.name
    return renewed if renewed.is_file() else file


def load_dataset(dataset: Path, num_classes: int = 1) -> dict[str, CocoSplit]:
    """Both splits of a data set, as `load_split` reads them.

    Raises:
        DatasetError: with everything that is wrong with either.
    """
    if not dataset.is_dir():
        raise DatasetError(f"the data set {dataset} is not a folder")
    splits, found = {}, []
    for name in SPLITS:
        try:
            splits[name] = load_split(annotation_file(dataset, name), dataset / IMAGES, num_classes)
        except DatasetError as error:
            found.append(str(error))
    if not found and splits["train"].class_names != splits["val"].class_names:
        found.append(f"the categories differ: {splits['train'].class_names} and {splits['val'].class_names}")
    if found:
        raise DatasetError("; ".join(found))
    return splits


def load_split(annotations: Path, images: Path, num_classes: int = 1) -> CocoSplit:
    """What an annotation file says of the pictures in a folder; what is skipped of it is logged.

    Raises:
        DatasetError: an entry is not sound, a picture is not there or has another size, there is nothing to learn
            from, or categories of another number have boxes; with everything that is wrong.
    """
    problems = Problems(annotations.name)
    split = parse_split(read_annotations(annotations), problems)
    if not problems.by_kind:
        _check_not_empty(split, problems)
    check_pictures(images, split.images, problems)
    if not problems.by_kind and len(split.class_names) != num_classes:
        named = ", ".join(split.class_names[:5])
        problems.add(f"{len(split.class_names)} categories have boxes ({named}), Train.num_classes is {num_classes}")
    if problems.by_kind:
        raise DatasetError(str(problems))
    if split.empty_boxes:
        count = len(split.empty_boxes)
        LOG.warning(
            "%s: %d boxes have no area and are skipped (%s)", annotations.name, count, first_of(split.empty_boxes)
        )
    if split.unused_categories:
        LOG.warning(
            "%s: categories without boxes are ignored (%s)", annotations.name, first_of(split.unused_categories)
        )
    return split


def read_annotations(path: Path) -> dict[str, list[Any]]:
    """The JSON object of an annotation file, its three lists checked to be there.

    Raises:
        DatasetError: no such file, no JSON, or a list is missing.
    """
    if path.exists() and not path.is_file():  # a pipe would make us wait for ever
        raise DatasetError(f"{path} is not a file")
    try:
        data = json.loads(path.read_bytes())  # UTF-8, -16 or -32, with or without a byte order mark
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; a data set has {IMAGES}/ and {ANNOTATIONS}/{path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {error}") from None
    for key in LISTS:
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise DatasetError(f"{path} has no list {key!r}; a COCO file is an object with that list")
    return data


def _check_not_empty(split: CocoSplit, problems: Problems) -> None:
    """A split must have images and, among them, a box that is not ignored."""
    if not split.images:
        problems.add("there are no images")
    elif not any((~image.ignored).any() for image in split.images):
        problems.add("no image has a box to learn from or to be judged by")
