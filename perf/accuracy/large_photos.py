"""Large photos with annotated faces, of annotated photos that are small: enlarged, or many beside each other.

What is enlarged gets film grain, as in `perf.photos`. Many photos beside each other make faces of a few pixels at the
network's input; those that need no enlarging keep the detail that their cameras saw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from perf.photos import encode, with_grain
from perf.placed import Placed, on_one_picture
from training.coco_format import CocoImage
from tritonface_server.images import decode_image

BACKGROUND = 114


@dataclass(frozen=True)
class Kind:
    """A kind of large photos.

    Attributes:
        size_wh: of each, in pixels; None for the shape of the one photo that it is made of.
        megapixels: of each, where `size_wh` is None.
        columns, rows: of photos in each.
        parameters: of `cv2.imencode`, what differs from a usual JPEG.
    """

    name: str
    size_wh: tuple[int, int] | None = None
    megapixels: float = 12.0
    columns: int = 1
    rows: int = 1
    parameters: tuple[int, ...] = ()
    is_grey: bool = False

    def photos(self, images: Sequence[CocoImage], folder: Path, most: int) -> Iterator[tuple[bytes, CocoImage]]:
        """The files and what is annotated on them, `most` at most; each photo of the folder comes once."""
        each = self.columns * self.rows
        for number in range(min(most, len(images) // each)):
            chosen = images[number * each : (number + 1) * each]
            picture, placed = self._placed(chosen, folder)
            if self.is_grey:
                picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            truth = on_one_picture(placed, number, f"{number}.jpg", (picture.shape[1], picture.shape[0]))
            yield encode(picture, *self.parameters), truth

    def _placed(self, images: Sequence[CocoImage], folder: Path) -> tuple[np.ndarray, list[Placed]]:
        width, height = self.size_wh or _enlarged_wh(images[0].size_wh, self.megapixels)
        cell_wh = width // self.columns, height // self.rows
        canvas = np.full((height, width, 3), BACKGROUND, np.uint8)
        placed = []
        for place, image in enumerate(images):
            x, y = (place % self.columns) * cell_wh[0], (place // self.columns) * cell_wh[1]
            picture = _fitted(decode_image((folder / image.file_name).read_bytes()), cell_wh)
            rows, columns = picture.shape[:2]
            canvas[y : y + rows, x : x + columns] = picture
            scale_xy = columns / image.size_wh[0], rows / image.size_wh[1]
            placed.append(Placed(image, (x, y), scale_xy))
        return canvas, placed


def _enlarged_wh(size_wh: tuple[int, int], megapixels: float) -> tuple[int, int]:
    scale = math.sqrt(megapixels * 1e6 / math.prod(size_wh))
    width, height = size_wh
    return round(width * scale), round(height * scale)


def _fitted(picture: np.ndarray, cell_wh: tuple[int, int]) -> np.ndarray:
    """The picture in the size that fits into a cell, with grain where that is larger than it was."""
    height, width = picture.shape[:2]
    scale = min(cell_wh[0] / width, cell_wh[1] / height)
    size_wh = round(width * scale), round(height * scale)
    if scale <= 1:
        return cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
    return with_grain(cv2.resize(picture, size_wh, interpolation=cv2.INTER_CUBIC))
