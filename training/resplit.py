"""Splits a data set anew into training and validation pictures; the annotation files before are kept as `.bak`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from training.coco_dataset import SPLITS, annotation_file, parse_split, read_annotations
from training.dataset_problems import DatasetError, Problems


def resplit(dataset: Path, train_percent: int, seed: int) -> list[Path]:
    """Write both annotation files anew from all pictures of both; one of the two may be missing.

    The same pictures, percentage and seed give the same split, however they were split before, and then nothing is
    written. Ids are counted anew, because both files may begin at 1. All other entries are kept.

    Returns:
        the `.bak` files; a number is appended where one is there already.

    Raises:
        DatasetError: the annotations are damaged, a picture is in both files, or a split would be without pictures.
    """
    files = [annotation_file(dataset, split) for split in SPLITS]
    present = [file for file in files if file.is_file()] or files[:1]
    everything = _merge({file.name: read_annotations(file) for file in present})
    names = [image["file_name"] for image in everything["images"]]
    random.Random(seed).shuffle(names)
    count = round(len(names) * train_percent / 100)
    if not 0 < count < len(names):
        raise DatasetError(
            f"{train_percent} % of {len(names)} images for training leaves a split without images; nothing was split"
        )
    texts = [json.dumps(_part(everything, set(part))) for part in (names[:count], names[count:])]
    if all(file.is_file() and file.read_text(encoding="utf-8") == text for file, text in zip(files, texts)):
        return []
    for file, text in zip(files, texts):
        _unfinished(file).write_text(text, encoding="utf-8")
    kept = []
    for file in files:
        if file.is_file():
            kept.append(_free(file.with_name(file.name + ".bak")))
            file.rename(kept[-1])
        _unfinished(file).replace(file)
    return kept


def _merge(sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One annotation object of all, images ordered by file name, ids counted from 1."""
    first = next(iter(sources.values()))
    merged: dict[str, Any] = {**first, "images": [], "annotations": []}
    owners: dict[str, str] = {}
    pairs = []
    for source, data in sources.items():
        problems = Problems(source)
        parse_split(data, problems)
        for image in data["images"] if not problems.by_kind else []:
            if owners.setdefault(image["file_name"], source) != source:
                problems.add("images are in another annotation file too", repr(image["file_name"]))
        if data["categories"] != first["categories"]:
            problems.add("its categories differ from those of the other file")
        if problems.by_kind:
            raise DatasetError(str(problems))
        of_image: dict[int, list[Any]] = {image["id"]: [] for image in data["images"]}
        for annotation in data["annotations"]:
            of_image[annotation["image_id"]].append(annotation)
        pairs += [(image, of_image[image["id"]]) for image in data["images"]]
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


def _unfinished(file: Path) -> Path:
    return file.with_name(f".{file.name}.part")


def _free(path: Path) -> Path:
    number, candidate = 0, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate
