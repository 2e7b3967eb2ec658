"""Draws a small COCO data set for tests: grey pictures with a bright square as the face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

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


def file_of(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"instance_{split}.json"


def read(folder: Path, split: str = "train") -> dict[str, Any]:
    return json.loads(file_of(folder, split).read_text())


def write(folder: Path, split: str, data: Any) -> None:
    file_of(folder, split).parent.mkdir(parents=True, exist_ok=True)
    file_of(folder, split).write_text(json.dumps(data))
