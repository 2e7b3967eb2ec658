"""The demo photos as a data set: labelled with what BlazeFace finds, moved a little."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from tests.conftest import PHOTOS
from tests.reference import InProcess
from tests.shipped import shipped

FACE_SCORE = 0.7  # what BlazeFace is that sure of is taken for a face; figures then depend on its doubtful boxes


def label_demo_photos(folder: Path) -> Path:
    """Write `images/` and the annotations of a validation split into a folder."""
    (folder / "images").mkdir()
    (folder / "annotations").mkdir()
    label = InProcess(shipped())
    images, faces = [], []
    for number, photo in enumerate(sorted(PHOTOS.glob("*.jpg")), start=1):
        shutil.copy(photo, folder / "images")
        with Image.open(photo) as image:
            width, height = image.size
        images.append({"id": number, "file_name": photo.name, "width": width, "height": height})
        for _, left, top, right, bottom in label(photo.read_bytes(), FACE_SCORE):
            box = [left + 2, top, (right - left) * 0.88, bottom - top]  # an IoU of .88: far from COCO's thresholds
            face = {"id": len(faces) + 1, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": box}
            faces.append(face | {"area": box[2] * box[3]})
    content = {"images": images, "annotations": faces, "categories": [{"id": 1, "name": "face"}]}
    (folder / "annotations" / "instance_val.json").write_text(json.dumps(content))
    return folder
