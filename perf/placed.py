"""What is annotated on a picture that others were put on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from training.coco_format import CocoImage


class Placed(NamedTuple):
    """A photo, where it begins on the picture, in pixels, and how many times larger it is there."""

    image: CocoImage
    xy_px: tuple[int, int]
    scale_xy: tuple[float, float] = (1.0, 1.0)


def on_one_picture(placed: Sequence[Placed], number: int, file_name: str, size_wh: tuple[int, int]) -> CocoImage:
    """The faces of all of them, in pixels of the picture."""
    images = [photo.image for photo in placed]
    return CocoImage(
        id=number,
        file_name=file_name,
        size_wh=size_wh,
        boxes_xyxy_px=np.concatenate(
            [
                photo.image.boxes_xyxy_px * np.float32(photo.scale_xy * 2) + np.float32(photo.xy_px * 2)
                for photo in placed
            ]
        ),
        class_ids=np.concatenate([image.class_ids for image in images]),
        ignored=np.concatenate([image.ignored for image in images]),
        areas_px=np.concatenate([photo.image.areas_px * np.prod(photo.scale_xy) for photo in placed]),
    )
