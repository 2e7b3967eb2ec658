from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.drawing import draw_boxes, draw_histogram


def test_drawing_no_boxes_changes_nothing() -> None:
    picture = Image.new("RGB", (30, 20), (1, 2, 3))
    assert draw_boxes(picture, np.empty((0, 4)), []).tobytes() == picture.tobytes()


@pytest.mark.parametrize("counts", [[0], [1, 7], list(range(60))], ids=len)
def test_histograms_of_any_number_of_classes(tmp_path: Path, counts: list[int]) -> None:
    each = np.array(counts)
    names = [f"class $ {i}^é" for i in counts]
    draw_histogram(names, {"train": each, "val": each}, tmp_path / "histogram.png")
    with Image.open(tmp_path / "histogram.png") as picture:
        assert picture.width >= 300
