"""The candidates of the micro-benchmarks are what they are called."""

from __future__ import annotations

import pytest

from perf.functions import LAYOUTS, candidates
from training.detectors import get_detector
from tritonface_server.nms import nms

DETECTOR = get_detector("BlazeFace")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [10, 1000])
def test_so_many_are_above_the_floor(layout: str, count: int) -> None:
    boxes, scores = candidates(layout, count, DETECTOR)
    assert (scores > DETECTOR.nms.score_threshold).sum() == count
    assert boxes.shape == (len(scores), 4)


@pytest.mark.parametrize(("layout", "least", "most"), [("dense", 1, 40), ("spread", 500, 500)])
def test_survivors(layout: str, least: int, most: int) -> None:
    assert least <= len(nms(*candidates(layout, 500, DETECTOR), DETECTOR.nms)) <= most
