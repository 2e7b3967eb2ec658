"""Large photos with many small faces, made of annotated ones: side by side at their own size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from perf.placed import Placed, on_one_picture
from training.coco_format import CocoImage, CocoSplit
from training.dataset_pictures import read_picture
from tritonface_server.images import decode_image

GREY = 114
QUALITY = 95


def write_mosaics(split: CocoSplit, images: Path, width_px: int, height_px: int, folder: Path) -> CocoSplit:
    """Fill pictures of this size with the photos of a split, row by row in their order; none is cut or enlarged.

    The last picture may end earlier. A photo wider or higher than the pictures is left out.

    Returns:
        the split of the pictures, which are JPEG files in `folder`.
    """
    pages = _pages([image for image in split.images if _fits(image, width_px, height_px)], width_px, height_px)
    written = []
    for number, placed in enumerate(pages, start=1):
        bottom = max(photo.xy_px[1] + photo.image.size_wh[1] for photo in placed)
        page = np.full((bottom, width_px, 3), GREY, np.uint8)
        for image, (x, y), _ in placed:
            width, height = image.size_wh
            page[y : y + height, x : x + width] = decode_image(read_picture(images / image.file_name))
        name = f"{width_px}_{number}.jpg"
        cv2.imwrite(str(folder / name), page, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        written.append(on_one_picture(placed, number, name, (width_px, bottom)))
    return CocoSplit(tuple(written), split.class_names)


def _fits(image: CocoImage, width_px: int, height_px: int) -> bool:
    return image.size_wh[0] <= width_px and image.size_wh[1] <= height_px


def _pages(photos: list[CocoImage], width_px: int, height_px: int) -> list[list[Placed]]:
    """Photos in their places, page by page."""
    pages: list[list[Placed]] = [[]]
    x = y = row_px = 0
    for photo in photos:
        width, height = photo.size_wh
        if x + width > width_px:
            x, y, row_px = 0, y + row_px, 0
        if y + height > height_px:
            x = y = row_px = 0
            pages.append([])
        pages[-1].append(Placed(photo, (x, y)))
        x, row_px = x + width, max(row_px, height)
    return pages if pages[0] else []
