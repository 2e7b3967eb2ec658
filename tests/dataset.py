"""Draws small COCO data sets for tests: bright squares for what only counts boxes, cartoon faces to learn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from training.coco_dataset import read_annotations
from training.coco_format import CocoSplit, parse_split
from training.dataset_problems import Problems

CATEGORIES = [{"id": 1, "name": "face"}]
SIZE_WH = (64, 48)


def draw_dataset(folder: Path, train: int = 4, val: int = 2) -> Path:
    """Write `train` and `val` pictures, in a sub-folder as WIDER FACE's, and their annotation files."""
    for split, count in (("train", train), ("val", val)):
        images = [
            {"id": i, "file_name": f"0--Parade/{split}_{i}.jpg", "width": SIZE_WH[0], "height": SIZE_WH[1]}
            for i in range(1, count + 1)
        ]
        for image in images:
            draw_picture(folder / "images" / image["file_name"])
        boxes = [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [10.0, 8.0, 20.0, 24.0], "area": 480.0, "iscrowd": 0}
            for i in range(1, count + 1)
        ]
        write(folder, split, {"images": images, "annotations": boxes, "categories": CATEGORIES})
    return folder


def draw_picture(path: Path, size_wh: tuple[int, int] = SIZE_WH, **options: Any) -> None:
    pixels = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    pixels[8:32, 10:30] = 230
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


MASKS = [{"id": 0, "name": "heads"}, {"id": 2, "name": "no mask"}, {"id": 5, "name": "mask"}]
"""Categories of two classes; no box belongs to the first one."""


def draw_faces_dataset(folder: Path, count: int = 8, side_px: int = 128, categories: list[Any] = CATEGORIES) -> Path:
    """Write `count` pictures with one or two cartoon faces each, the same ones for training and validation.

    With the categories `MASKS` every second face wears one.
    """
    rng = np.random.default_rng(0)
    images, annotations = [], []
    (folder / "images").mkdir(parents=True)
    for image_id in range(1, count + 1):
        low = rng.integers(0, 160, (8, 8, 3), np.uint8)
        picture = Image.fromarray(low).resize((side_px, side_px), Image.Resampling.BICUBIC)
        for half in range(int(rng.integers(1, 3))):
            size_px = int(rng.integers(32, 56))
            left = half * side_px // 2 + int(rng.integers(0, side_px // 2 - size_px + 1))
            top = int(rng.integers(0, side_px - size_px))
            category = categories[-1 - len(annotations) % 2] if categories is MASKS else categories[0]
            draw_face(ImageDraw.Draw(picture), left, top, size_px, masked=category["name"] == "mask")
            box = {"bbox": [left, top, size_px, size_px], "area": size_px**2, "iscrowd": 0}
            entry = {"id": len(annotations) + 1, "image_id": image_id, "category_id": category["id"]}
            annotations.append(entry | box)
        name = f"faces_{image_id}.png"
        picture.save(folder / "images" / name)
        images.append({"id": image_id, "file_name": name, "width": side_px, "height": side_px})
    for split in ("train", "val"):
        write(folder, split, {"images": images, "annotations": annotations, "categories": categories})
    return folder


def draw_face(draw: ImageDraw.ImageDraw, left: int, top: int, size_px: int, masked: bool = False) -> None:
    def ellipse(x: float, y: float, width: float, height: float, colour: str) -> None:
        corner = (left + x * size_px, top + y * size_px)
        draw.ellipse((*corner, corner[0] + width * size_px, corner[1] + height * size_px), fill=colour)

    ellipse(0, 0, 1, 1, "#e8b890")
    for x in (0.2, 0.6):
        ellipse(x, 0.3, 0.2, 0.15, "white")
        ellipse(x + 0.06, 0.32, 0.1, 0.12, "#302020")
    ellipse(0.44, 0.45, 0.12, 0.2, "#c89070")
    ellipse(0.3, 0.72, 0.4, 0.12, "#b03030")
    if masked:
        ellipse(0.05, 0.4, 0.9, 0.6, "#2080f0")


def split_of(annotations: Path) -> CocoSplit:
    """What an annotation file says, without a look at its pictures."""
    problems = Problems(annotations.name)
    split = parse_split(read_annotations(annotations), problems)
    assert not problems.by_kind
    return split


def file_of(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"instance_{split}.json"


def read(folder: Path, split: str = "train") -> dict[str, Any]:
    return json.loads(file_of(folder, split).read_text())


def write(folder: Path, split: str, data: Any) -> None:
    file_of(folder, split).parent.mkdir(parents=True, exist_ok=True)
    file_of(folder, split).write_text(json.dumps(data))
