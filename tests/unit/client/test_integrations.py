"""Results handed on: crops of faces, and supervision where it is installed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tritonface import Box, DetectionResult, ImageError, InvalidArgumentError
from tritonface.integrations import crop_faces, to_supervision

PICTURE = np.random.default_rng(0).integers(1, 256, (20, 30, 3), np.uint8)  # RGB, never black


def result(*boxes_xyxy_px: list[float], error: ImageError | None = None, orientation: int = 1) -> DetectionResult:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PICTURE).save(buffer, "PNG", exif=exif)
    boxes = [Box(cls_id=0, label="face", score=0.9, coordinate=box) for box in boxes_xyxy_px]
    return DetectionResult("a.png", boxes, file_name="a.png", origin="a.png", encoded=buffer.getvalue(), error=error)


def test_no_faces_no_crops() -> None:
    assert crop_faces(result()) == []


@pytest.mark.parametrize(
    ("box", "options", "expected"),
    [
        ([0, 0, 30, 20], {}, PICTURE),
        ([5, 6, 15, 12], {}, PICTURE[6:12, 5:15]),
        ([10, 10, 20, 14], {"margin": 0.5}, PICTURE[8:16, 5:25]),
        ([10, 8, 16, 10], {"square": True}, PICTURE[6:12, 10:16]),
        ([10, 8, 14, 10], {"square": True, "margin": 0.5}, PICTURE[5:13, 8:16]),
        ([-2, -3, 4, 4], {}, np.pad(PICTURE[:4, :4], ((3, 0), (2, 0), (0, 0)))),
        ([25, 15, 33, 22], {}, np.pad(PICTURE[15:, 25:], ((0, 2), (0, 3), (0, 0)))),
        ([5.2, 5.2, 5.3, 5.3], {}, PICTURE[5:6, 5:6]),
    ],
)
def test_crops(box: list[float], options: dict[str, float], expected: np.ndarray) -> None:
    (crop,) = crop_faces(result(box), **options)
    assert crop.flags.c_contiguous and np.array_equal(crop[:, :, ::-1], expected)


def test_crops_of_one_size_and_of_turned_pictures() -> None:
    crops = crop_faces(result([5, 6, 15, 12], [0, 0, 3, 3]), size_px=np.int64(16))
    assert [crop.shape for crop in crops] == [(16, 16, 3)] * 2
    (crop,) = crop_faces(result([0, 0, 20, 30], orientation=6))
    assert np.array_equal(crop[:, :, ::-1], np.rot90(PICTURE, -1))


@pytest.mark.parametrize(
    "options",
    [
        {"margin": -0.1},
        {"margin": float("nan")},
        {"margin": float("inf")},
        {"size_px": 0},
        {"size_px": 9.5},
        {"margin": True},
    ],
)
def test_options_of_no_use(options: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a"):
        crop_faces(result([0, 0, 3, 3]), **options)


def test_an_image_without_a_result_has_no_crops() -> None:
    with pytest.raises(ImageError, match="broken"):
        crop_faces(result(error=ImageError("broken")))


@pytest.mark.parametrize("boxes", [[], [[1.5, 2, 3, 4]], [[1, 2, 3, 4], [0, 0, 9, 9]]])
def test_supervision(boxes: list[list[float]]) -> None:
    pytest.importorskip("supervision")
    detections = to_supervision(result(*boxes))
    assert np.array_equal(detections.xyxy, np.array(boxes, np.float32).reshape(-1, 4))
    assert len(detections) == len(boxes)
    assert detections.confidence.tolist() == pytest.approx([0.9] * len(boxes))
    assert detections.data["class_name"].tolist() == ["face"] * len(boxes)
    with pytest.raises(ImageError):
        to_supervision(result(error=ImageError("broken")))
