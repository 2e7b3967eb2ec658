"""Splits a data set anew into training and validation pictures; the annotation files before are kept as `.bak`.

Both new files are written into a folder that appears at once, `annotations/.split`. From then on they are the data
set's annotations, and moving them up can be done by any later run: nothing is lost, whenever this one is killed.
"""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from training.coco_dataset import ANNOTATIONS, RENEWED, SPLITS, annotation_file, read_annotations
from training.coco_format import parse_split
from training.dataset_problems import DatasetError, Problems, picture_name


def resplit(dataset: Path, train_percent: int, seed: int) -> list[Path]:
    """Write both annotation files anew from all pictures of both; one of the two may be missing.

    The same pictures, percentage and seed give the same split, however they were split before, and then nothing is
    written. Ids are counted anew, because both files may begin at 1. All other entries are kept.

    Returns:
        the `.bak` files of what was replaced; a number is appended where another one is there already.

    Raises:
        DatasetError: the annotations are damaged, a picture is in both files, or a split would be without pictures.
    """
    folder = dataset / ANNOTATIONS
    _move_up(folder)
    files = [annotation_file(dataset, split) for split in SPLITS]
    present = [file for file in files if file.is_file()] or files[:1]
    for file in files:
        backup = file.with_name(f"{file.name}.bak")
        if file not in present and backup.is_file():
            raise DatasetError(f"{file} is missing, but {backup.name} is there; rename one of its backups back first")
    everything = _merge({file.name: read_annotations(file) for file in present})
    names = [image["file_name"] for image in everything["images"]]
    random.Random(seed).shuffle(names)
    count = round(len(names) * train_percent / 100)
    if not 0 < count < len(names):
        raise DatasetError(
            f"{train_percent} % of {len(names)} images for training leaves a split without images; nothing was split"
        )
    parts = (set(names[:count]), set(names[count:]))
    contents = {file.name: json.dumps(_part(everything, part)).encode() for file, part in zip(files, parts)}
    if all(file.is_file() and file.read_bytes() == contents[file.name] for file in files):
        return []
    _write(folder, contents)
    return _move_up(folder)


def _merge(sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One annotation object of all, images ordered by file name, ids counted from 1."""
    first = next(iter(sources.values()))
    merged: dict[str, Any] = {**first, "images": [], "annotations": []}
    owners: dict[str, str] = {}
    pairs = []
    for source, data in sources.items():
        problems = Problems(source)
        parse_split(data, problems)
        if problems.by_kind:
            raise DatasetError(str(problems))
        images = [{**image, "file_name": picture_name(image["file_name"])} for image in data["images"]]
        for image in images:
            if owners.setdefault(image["file_name"], source) != source:
                problems.add("images are in another annotation file too", repr(image["file_name"]))
        if data["categories"] != first["categories"]:
            problems.add("its categories differ from those of the other file")
        if problems.by_kind:
            raise DatasetError(str(problems))
        of_image: dict[int, list[Any]] = {int(image["id"]): [] for image in images}
        for annotation in data["annotations"]:
            of_image[int(annotation["image_id"])].append(annotation)
        pairs += [(image, of_image[int(image["id"])]) for image in images]
    for image_id, (image, entries) in enumerate(sorted(pairs, key=lambda pair: pair[0]["file_name"]), 1):
        merged["images"].append({**image, "id": image_id})
        for annotation in entries:
            number = len(merged["annotations"]) + 1
            merged["annotations"].append({**annotation, "id": number, "image_id": image_id})
    return merged


def _part(everything: dict[str, Any], names: set[str]) -> dict[str, Any]:
    images = [image for image in everything["images"] if image["file_name"] in names]
    ids = {image["id"] for image in images}
    annotations = [entry for entry in everything["annotations"] if entry["image_id"] in ids]
    return {**everything, "images": images, "annotations": annotations}


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """Make the folder of new files appear at once, with all of them on the disk."""
    unfinished = folder / f"{RENEWED}.part"
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed before it could matter
    unfinished.mkdir()
    for name, content in contents.items():
        with (unfinished / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    unfinished.rename(folder / RENEWED)


def _move_up(folder: Path) -> list[Path]:
    """Put new files in the place of the old ones, each of which is copied first; the copies."""
    kept = []
    for new in sorted((folder / RENEWED).glob("*.json")):
        old = folder / new.name
        if old.is_file():
            kept.append(_keep(old))
        new.replace(old)
    if (folder / RENEWED).is_dir():
        (folder / RENEWED).rmdir()
    return kept


def _keep(file: Path) -> Path:
    """The `.bak` file with the content of `file`: the one that a killed run has made, or a new one."""
    number, backup = 0, file.with_name(f"{file.name}.bak")
    while backup.exists():
        if filecmp.cmp(file, backup, shallow=False):
            return backup
        number += 1
        backup = file.with_name(f"{file.name}.bak.{number}")
    unfinished = file.with_name(f".{file.name}.bak.part")
    shutil.copyfile(file, unfinished)
    unfinished.rename(backup)
    return backup
