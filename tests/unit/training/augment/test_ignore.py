from __future__ import annotations

import numpy as np
import pytest

from tests.augment_samples import assert_sound, coloured_sample, empty_sample
from training.augment import Sample
from training.augment.ignore import ignore_beyond, ignore_cut_off, ignore_sizes, ignored_pixels
from training.augment.sample import IGNORED


def test_no_boxes() -> None:
    for result in (
        ignore_cut_off(empty_sample()),
        ignore_sizes(empty_sample(), 6, 100),
        ignore_beyond(empty_sample(), 0),
    ):
        assert_sound(result)
        assert len(result.labels) == 0
    assert ignored_pixels([empty_sample(), empty_sample()]) is None


@pytest.mark.parametrize(
    ("box", "clipped", "label"),
    [
        ([10, 10, 30, 30], [10, 10, 30, 30], 0),
        ([-5, 10, 15, 30], [0, 10, 15, 30], 0),  # three quarters of it
        ([-10, 10, 10, 30], [0, 10, 10, 30], IGNORED),  # a half
        ([115, 80, 135, 100], [115, 80, 120, 90], IGNORED),  # an eighth
    ],
)
def test_what_is_cut_off(box: list[int], clipped: list[int], label: int) -> None:
    sample = Sample(empty_sample((120, 90)).picture, np.array([box], np.float32), np.zeros(1, np.int64))
    result = ignore_cut_off(sample)
    assert_sound(result)
    np.testing.assert_array_equal(result.boxes_xyxy_px, [clipped])
    assert result.labels.tolist() == [label]


@pytest.mark.parametrize("box", [[-20, 10, 0, 30], [120, 10, 140, 30], [-50, -50, -10, -10], [10, 90, 20, 95]])
def test_what_is_outside_is_dropped(box: list[int]) -> None:
    sample = Sample(empty_sample((120, 90)).picture, np.array([box], np.float32), np.zeros(1, np.int64))
    assert ignore_cut_off(sample).labels.tolist() == []


def test_sizes() -> None:
    sample = coloured_sample((200, 100), [[0, 0, 5, 5], [10, 0, 14, 9], [20, 0, 60, 40], [70, 0, 161, 91]])
    assert ignore_sizes(sample, 6, 90).labels.tolist() == [IGNORED, 1, 2, IGNORED]


def test_the_largest_stay() -> None:
    sample = coloured_sample((200, 100), [[0, 0, 5, 5], [10, 0, 30, 20], [40, 0, 60, 20], [70, 0, 100, 30]])
    assert ignore_beyond(sample, 2).labels.tolist() == [IGNORED, 1, IGNORED, 3]
    assert ignore_beyond(sample, 4) is ignore_beyond(sample, None) is sample
    ignored = ignore_sizes(sample, 6, 25)  # boxes that are ignored already take nobody's place
    assert ignore_beyond(ignored, 2).labels.tolist() == [IGNORED, 1, 2, IGNORED]


def test_the_pixels_of_ignored_boxes() -> None:
    boxes = np.array([[4.5, 10, 20, 29.2], [40, 40, 42, 42], [60, 60, 80, 80]], np.float32)
    sample = Sample(empty_sample((120, 90)).picture, boxes, np.array([IGNORED, IGNORED, 0], np.int64))
    mask = ignored_pixels([empty_sample((120, 90)), sample])
    expected = np.zeros((2, 90, 120), bool)
    expected[1, 10:30, 4:20] = True
    expected[1, 37:45, 37:45] = True  # as large as a cell
    np.testing.assert_array_equal(mask, expected)
