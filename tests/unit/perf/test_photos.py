"""Photos of every size and crowds."""

from __future__ import annotations

import pytest

from perf.photos import GROUP, crowd, photo, size_wh
from tritonface_server.images import decode_image


def test_a_crowd_of_none() -> None:
    assert decode_image(crowd(0)).std(axis=(0, 1)).max() < 1


@pytest.mark.parametrize("faces", [1, 7, 700])
def test_crowds_have_one_size_and_fill_it(faces: int) -> None:
    image = decode_image(crowd(faces))
    assert image.shape == (1280, 1280, 3)
    assert image.std() > 10


@pytest.mark.parametrize("megapixels", [0.1, 1.0, 2.5])
def test_photos_have_their_size_shape_and_detail(megapixels: float) -> None:
    width, height = size_wh(photo(megapixels))
    original_width, original_height = size_wh(GROUP.read_bytes())
    assert width * height / 1e6 == pytest.approx(megapixels, rel=0.01)
    assert width / height == pytest.approx(original_width / original_height, rel=0.01)
    bytes_per_pixel = len(GROUP.read_bytes()) / (original_width * original_height)
    assert len(photo(megapixels)) / (width * height) == pytest.approx(bytes_per_pixel, rel=0.25)
