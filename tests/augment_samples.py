"""Samples for the tests of augmentations: grey noise with faces of one colour each."""

from __future__ import annotations

import numpy as np

from training.augment import Sample
from training.augment.sample import IGNORED

BACKGROUND = 60  # and less; faces are brighter


def empty_sample(size_wh: tuple[int, int] = (120, 90)) -> Sample:
    return coloured_sample(size_wh, [])


def coloured_sample(size_wh: tuple[int, int], boxes_xyxy_px: list[list[int]]) -> Sample:
    """Face number i is painted in `colour(i)`."""
    width, height = size_wh
    picture = np.random.default_rng(0).integers(0, BACKGROUND, (height, width, 3), np.uint8)
    boxes = np.array(boxes_xyxy_px, np.float32).reshape(-1, 4)
    for index, (x0, y0, x1, y1) in enumerate(boxes_xyxy_px):
        picture[y0:y1, x0:x1] = colour(index)
    return Sample(picture, boxes, np.arange(len(boxes), dtype=np.int64))


def colour(index: int) -> np.ndarray:
    """uint8 [3], 40 or more apart in a channel for indices below 64, and above the background."""
    return np.array([100 + 50 * (index // 16), 100 + 50 * (index // 4 % 4), 100 + 50 * (index % 4)], np.uint8)


def crowd(size_wh: tuple[int, int] = (640, 480), count: int = 16) -> Sample:
    """Faces of 10 to 70 pixels, no two touching."""
    rng = np.random.default_rng(count)
    columns, boxes = 4, []
    cell_w, cell_h = size_wh[0] // columns, size_wh[1] // -(-count // columns)
    for index in range(count):
        width, height = rng.integers(10, min(cell_w, cell_h, 72) - 2, 2)
        x = index % columns * cell_w + rng.integers(1, cell_w - width)
        y = index // columns * cell_h + rng.integers(1, cell_h - height)
        boxes.append([int(x), int(y), int(x + width), int(y + height)])
    return coloured_sample(size_wh, boxes)


def assert_sound(sample: Sample) -> None:
    """The types, and boxes inside the picture, none of them empty."""
    height, width, channels = sample.picture.shape
    assert (sample.picture.dtype, channels) == (np.uint8, 3)
    assert min(height, width) > 0
    boxes = sample.boxes_xyxy_px
    assert (boxes.dtype, boxes.shape) == (np.float32, (len(sample.labels), 4))
    assert sample.labels.dtype == np.int64
    assert (boxes >= 0).all()
    assert (boxes <= [width, height, width, height]).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()


def assert_same(one: Sample, other: Sample) -> None:
    np.testing.assert_array_equal(one.picture, other.picture)
    np.testing.assert_array_equal(one.boxes_xyxy_px, other.boxes_xyxy_px)
    np.testing.assert_array_equal(one.labels, other.labels)


def assert_on_faces(sample: Sample) -> int:
    """That faces fill their boxes and are not seen outside; how many could be checked.

    Those that are ignored, or too small to have pixels of pure colour, are left aside.
    """
    checked = 0
    for box, label in zip(sample.boxes_xyxy_px, sample.labels):
        side_px = (box[2:] - box[:2]).max()
        if label == IGNORED or (box[2:] - box[:2]).min() < 6:
            continue
        left, top, right, bottom = np.clip(box + side_px * np.array([-1, -1, 1, 1]), 0, None).astype(int)
        around = sample.picture[top:bottom, left:right].astype(int)
        y, x = np.nonzero((np.abs(around - colour(int(label))) <= 2).all(axis=2))
        found = np.array([x.min() + left, y.min() + top, x.max() + 1 + left, y.max() + 1 + top])
        # A resize blends a pixel or two at every side of the face, more when it is made much larger.
        np.testing.assert_allclose(found, box, atol=1.5 + 0.1 * side_px)
        assert (found[:2] >= box[:2] - 1.5).all()
        assert (found[2:] <= box[2:] + 1.5).all()
        checked += 1
    return checked
