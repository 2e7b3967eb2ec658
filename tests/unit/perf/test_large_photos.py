"""Large photos that are made of small annotated ones, and what is measured on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from perf.accuracy import scaled
from perf.accuracy.large_photos import Kind
from perf.accuracy.scaled import KINDS, main, measure_kind
from perf.peers.in_process import open_detector
from tests.demo_faces import label_demo_photos
from training.coco_dataset import load_split
from training.coco_format import CocoImage
from tritonface_server.image_file import read_header
from tritonface_server.images import decode_image

KIND = Kind("two beside each other", (700, 500), columns=2)


def red_squares(folder: Path) -> list[CocoImage]:
    """Grey pictures, each with a red square, which is what is annotated."""
    images = []
    for number, size_wh in enumerate([(200, 100), (100, 200), (60, 60)]):
        picture = np.full((*size_wh[::-1], 3), 128, np.uint8)
        picture[20:40, 10:50] = 0, 0, 255
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        box = np.float32([[10, 20, 50, 40]])
        images.append(
            CocoImage(number, f"{number}.png", size_wh, box, np.zeros(1, int), np.zeros(1, bool), np.full(1, 800.0))
        )
    return images


def test_boxes_move_and_grow_with_their_photos(tmp_path: Path) -> None:
    images = red_squares(tmp_path)
    ((encoded, truth),) = KIND.photos(images, tmp_path, 5)  # the third one has no neighbour
    picture = decode_image(encoded).astype(int)
    assert truth.size_wh == (700, 500) and picture.shape == (500, 700, 3)
    is_red = picture[:, :, 2] - picture[:, :, 0] > 128
    for (left, top, right, bottom), area_px in zip(
        truth.boxes_xyxy_px.round().astype(int), truth.areas_px, strict=True
    ):
        assert is_red[top + 4 : bottom - 4, left + 4 : right - 4].all()
        assert area_px == pytest.approx((right - left) * (bottom - top), rel=0.05)
        is_red[top - 4 : bottom + 4, left - 4 : right + 4] = False
    assert not is_red.any()


def test_one_photo_keeps_its_shape(tmp_path: Path) -> None:
    kind = Kind("enlarged", megapixels=1.0, is_grey=True)
    photos = list(kind.photos(red_squares(tmp_path), tmp_path, 2))
    assert [truth.size_wh for _, truth in photos] == [(1414, 707), (707, 1414)]
    assert [truth.id for _, truth in photos] == [0, 1]
    picture = decode_image(photos[0][0])
    assert (picture[:, :, 0] == picture[:, :, 2]).all() and picture[:300, 800:].std() > 3  # the grain


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kinds_can_be_scaled_while_they_are_decoded(kind: Kind, tmp_path: Path) -> None:
    images = red_squares(tmp_path)[:1] * (kind.columns * kind.rows)
    ((encoded, truth),) = kind.photos(images, tmp_path, 1)
    header = read_header(encoded)
    assert header.upright_wh == truth.size_wh and min(truth.size_wh) > 1280
    assert header.scalable is ("progressive" not in kind.name)


@pytest.mark.parametrize("kind", KINDS[:1])
def test_faces_are_found_both_ways(kind: Kind, tmp_path: Path) -> None:
    data_set = label_demo_photos(tmp_path)
    images = load_split(data_set / "annotations" / "instance_val.json", data_set / "images").images
    detectors = [open_detector("BlazeFace", "normal", 1)]
    for figures in measure_kind(kind, images, data_set / "images", detectors, most=2)["BlazeFace"]:
        assert 0.3 < figures.ap < figures.ap50 <= 1


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaled, "MEGAPIXELS", (0.5, 2.0))
    data_set = label_demo_photos(tmp_path)
    given = ["--images", str(data_set / "images"), "--detector", "BlazeFace", "--output", str(tmp_path / "output")]
    assert main([*given, "--annotations", str(data_set / "annotations" / "instance_val.json"), "--photos", "1"]) == 0
    report = (tmp_path / "output" / "scaled.md").read_text()
    assert "| one photo, 12 MP | BlazeFace | 0." in report and "| 2 |" in report
    assert main([*given, "--annotations", str(tmp_path / "absent.json")]) == 1
