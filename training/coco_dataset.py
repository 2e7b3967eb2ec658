"""A data set in COCO's format, read and checked in one way by every mode."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.coco_format import CocoImage, CocoSplit, parse_split
from training.dataset_pictures import check_pictures
from training.dataset_problems import DatasetError, Problems, first_of

LOG = logging.getLogger(__name__)
IMAGES, ANNOTATIONS = "images", "annotations"
SPLITS = ("train", "val")
RENEWED = ".split"
"""In `annotations/`: files that are valid already and only have to be moved up; see `training.resplit`."""
LISTS = ("images", "annotations", "categories")

__all__ = ["CocoImage", "CocoSplit", "annotation_file", "for_labels", "load_dataset", "load_split", "read_annotations"]


def annotation_file(dataset: Path, split: str) -> Path:
    """Where a data set keeps the annotations of "train" or "val"."""
    file = dataset / ANNOTATIONS / f"instance_{split}.json"
    renewed = file.parent / RENEWED / file.name
    return renewed if renewed.is_file() else file


def load_dataset(dataset: Path, num_classes: int = 1) -> dict[str, CocoSplit]:
    """Both splits of a data set, as `load_split` reads them, with the classes of the training pictures.

    Raises:
        DatasetError: with everything that is wrong with either, or there are not `num_classes` classes.
    """
    if not dataset.is_dir():
        raise DatasetError(f"the data set {dataset} is not a folder")
    splits, found = {}, []
    for name in SPLITS:
        try:
            splits[name] = load_split(annotation_file(dataset, name), dataset / IMAGES)
        except DatasetError as error:
            found.append(str(error))
    if found:
        raise DatasetError("; ".join(found))
    return {**splits, "val": _with_classes_of(splits["train"], splits["val"], num_classes)}


def _with_classes_of(train: CocoSplit, val: CocoSplit, num_classes: int) -> CocoSplit:
    """The validation pictures with the classes of the training pictures; DatasetError unless those are as they should.

    A class that no validation picture has is told: its AP will be unknown.
    """
    names = train.class_names
    if len(names) != num_classes:
        raise DatasetError(
            f"{len(names)} categories have boxes ({_listed(names)}), Train.num_classes is {num_classes}; add "
            f"-o Train.num_classes={len(names)}, or take the boxes of the others out of the data set"
        )
    if not set(val.class_names) <= set(names):
        raise DatasetError(f"the categories differ: {names} and {val.class_names}")
    unseen = [name for name in names if name not in val.class_names]
    if unseen:
        LOG.warning("no picture to be judged by has %s: the AP says nothing of that", _listed(unseen))
    return for_labels(val, names)


def for_labels(split: CocoSplit, labels: Sequence[str]) -> CocoSplit:
    """A split whose classes are a detector's, by their names; where each has one class, the names do not matter.

    Raises:
        DatasetError: a category with boxes is none of the labels.
    """
    names = split.class_names
    if len(labels) == len(names) == 1:
        return split
    unknown = [name for name in names if name not in labels]
    if unknown:
        raise DatasetError(
            f"{len(names)} categories have boxes ({_listed(names)}), and the detector's labels are {_listed(labels)}: "
            f"it does not know {_listed(unknown)}"
        )
    new_ids = np.array([labels.index(name) for name in names])
    images = tuple(replace(image, class_ids=new_ids[image.class_ids]) for image in split.images)
    return replace(split, images=images, class_names=tuple(labels))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def load_split(annotations: Path, images: Path) -> CocoSplit:
    """What an annotation file says of the pictures in a folder; what is skipped of it is logged.

    Raises:
        DatasetError: an entry is not sound, a picture is not there or has another size, there is nothing to learn
            from, or two categories have the same name; with everything that is wrong.
    """
    problems = Problems(annotations.name)
    split = parse_split(read_annotations(annotations), problems)
    if not problems.by_kind:
        _check_not_empty(split, problems)
    check_pictures(images, split.images, problems)
    for name in sorted({name for name in split.class_names if split.class_names.count(name) > 1}):
        problems.add("categories have the name of another one", repr(name))
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
