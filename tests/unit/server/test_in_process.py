"""The detector in one process: its runtimes and what they refuse, and its faces against the yardstick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import PHOTOS
from tests.reference import InProcess, iou_with_each
from tests.shipped import SHIPPED, network_file, shipped
from tritonface_server.images import ImageError, SizeError, decode_image
from tritonface_server.in_process import VARIANTS, InProcessDetector, load_network
from tritonface_server.runtimes import NetworkError, float_precisions

FILES = sorted(PHOTOS.glob("*.jpg"))


def blind(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ones((len(pictures), 3, 4), np.float32), np.zeros((len(pictures), 3), np.float32)


def test_no_images() -> None:
    assert InProcessDetector(shipped(), blind).detect([]) == []


def test_no_faces() -> None:
    (found,) = InProcessDetector(shipped(), blind).detect([np.zeros((5, 7, 3), np.uint8)])
    assert (found.boxes_xyxy_px.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))


def test_what_is_refused() -> None:
    with pytest.raises(SizeError, match="5000x640"):
        InProcessDetector(shipped(), blind, (5000, 640))
    with pytest.raises(ImageError, match="not a JPEG"):
        InProcessDetector(shipped(), blind)(b"no picture")


def test_classes_and_labels() -> None:
    def two_classes(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(np.float32([[8, 8, 64, 64]]), (len(pictures), 1, 1)), np.float32([[0.6, 0.9]] * len(pictures))

    images = [np.zeros((64, 64, 3), np.uint8)] * 2
    for found in InProcessDetector(replace(shipped(), labels=("mask", "no mask")), two_classes).detect(images):
        assert found.class_ids.tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"tells 2 classes apart, and its labels are face"):
        InProcessDetector(shipped(), two_classes).detect(images)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_no_network(variant: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no network")
    for file in (tmp_path / "model.onnx", tmp_path / "absent.onnx"):
        with pytest.raises(NetworkError, match=rf"{file.name} cannot be loaded as a[^\n]*$"):
            load_network(file, variant)


@pytest.mark.parametrize("size_wh", [None, (480, 320)])
@pytest.mark.parametrize("name", SHIPPED)
def test_the_faces_are_those_of_the_yardstick(name: str, size_wh: tuple[int, int] | None) -> None:
    detector = InProcessDetector(shipped(name), load_network(network_file(name)), size_wh)
    yardstick = InProcess(shipped(name))
    encoded = [file.read_bytes() for file in FILES]
    together = detector.detect([decode_image(photo) for photo in encoded], threshold=0.3)
    for photo, batched in zip(encoded, together, strict=True):
        expected = np.array(yardstick(photo, 0.3, size_wh)).reshape(-1, 5)
        assert len(expected)
        for found in (detector(photo, 0.3), batched):
            np.testing.assert_allclose(found.scores, expected[:, 0], atol=1e-5, rtol=0)
            np.testing.assert_allclose(found.boxes_xyxy_px, expected[:, 1:], atol=0.01, rtol=0)


def test_the_threshold_is_the_detectors_own_unless_another_is_given() -> None:
    encoded, network = FILES[-1].read_bytes(), load_network(network_file())
    strict = InProcessDetector(replace(shipped(), score_threshold=0.8), network)
    assert 0 < len(strict(encoded).scores) < len(strict(encoded, 0.2).scores)
    assert strict(encoded).scores.min() > 0.8


def test_the_high_performance_variant_finds_the_clear_faces() -> None:
    assert float_precisions()[-1] == "f32"
    encoded = FILES[-1].read_bytes()
    normal, fast = (InProcessDetector(shipped(), load_network(network_file(), v))(encoded, 0.4) for v in VARIANTS)
    for box in normal.boxes_xyxy_px[normal.scores > 0.7]:
        assert iou_with_each(box, fast.boxes_xyxy_px).max() > 0.7


def test_tiles_find_what_is_too_small_in_a_large_photo() -> None:
    group = np.tile(decode_image(FILES[-1].read_bytes()), (2, 2, 1))
    network = load_network(network_file())
    (whole,) = InProcessDetector(shipped(), network).detect([group])
    first, second = InProcessDetector(shipped(), network, tile_wh=(960, 960)).detect([group, group])
    assert len(first.scores) > 2 * len(whole.scores) and np.array_equal(first.boxes_xyxy_px, second.boxes_xyxy_px)
    (held,) = InProcessDetector(shipped(), network, tile_wh=(1920, 1200)).detect([group])
    assert np.array_equal(held.boxes_xyxy_px, whole.boxes_xyxy_px)
    with pytest.raises(SizeError, match="tiles are 8x8"):
        InProcessDetector(shipped(), network, tile_wh=(8, 8))
