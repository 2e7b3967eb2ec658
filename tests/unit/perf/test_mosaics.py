"""Large photos made of annotated ones: everything is in its place, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from perf.mosaics import GREY, write_mosaics
from training.coco_format import CocoImage, CocoSplit

COLOURS = {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255), 4: (255, 255, 0), 5: (9, 9, 9)}
SIZES_WH = {1: (120, 80), 2: (100, 96), 3: (60, 40), 4: (200, 80), 5: (320, 40)}


def photos(folder: Path) -> CocoSplit:
    """Of one colour and with one face each; every second face is an ignored one."""
    images = []
    for number, (width, height) in SIZES_WH.items():
        cv2.imwrite(str(folder / f"{number}.png"), np.full((height, width, 3), COLOURS[number], np.uint8))
        box = np.float32([[8, 8, 24, 32]])
        ignored = np.array([number % 2 == 0])
        images.append(
            CocoImage(number, f"{number}.png", (width, height), box, np.zeros(1, np.int64), ignored, np.array([384.0]))
        )
    return CocoSplit(tuple(images), ("face",))


def test_photos_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    large = write_mosaics(photos(tmp_path), tmp_path, 240, 180, tmp_path / "large")
    first, second = large.images  # the fifth photo is too wide
    assert (first.size_wh, second.size_wh, large.class_names) == ((240, 136), (240, 80), ("face",))
    assert first.boxes_xyxy_px.tolist() == [[8, 8, 24, 32], [128, 8, 144, 32], [8, 104, 24, 128]]
    assert first.ignored.tolist() == [False, True, False] and first.areas_px.tolist() == [384, 384, 384]
    assert second.boxes_xyxy_px.tolist() == [[8, 8, 24, 32]] and second.ignored.tolist() == [True]
    picture = cv2.imread(str(tmp_path / "large" / first.file_name))
    for number, (x, y) in {1: (60, 40), 2: (170, 50), 3: (30, 110)}.items():
        assert np.abs(picture[y, x].astype(int) - COLOURS[number]).max() < 8
    assert np.abs(picture[120, 200].astype(int) - GREY).max() < 8


def test_no_photo_fits(tmp_path: Path) -> None:
    assert write_mosaics(photos(tmp_path), tmp_path, 50, 30, tmp_path).images == ()
