"""Results handed on: to `supervision`, and as crops of single faces to a recognition pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from tritonface._errors import InvalidArgumentError
from tritonface._numbers import Number, Whole, number, whole_number
from tritonface._result import DetectionResult

if TYPE_CHECKING:
    import supervision

__all__ = ["crop_faces", "to_supervision"]

BLACK = (0, 0, 0)


def to_supervision(result: DetectionResult) -> supervision.Detections:
    """The faces as `supervision.Detections`: float32 `xyxy` [K, 4] px, `confidence`, `class_id`, `data["class_name"]`.

    Needs the package supervision (`pip install tritonface[supervision]`).

    Raises:
        TritonFaceError: the image has no result; it is the result's `error`.
    """
    import supervision

    if result.error is not None:
        raise result.error
    return supervision.Detections(
        xyxy=result.xyxy,
        confidence=result.scores,
        class_id=result.class_ids,
        data={"class_name": np.array([box["label"] for box in result["boxes"]], dtype=str)},
    )


def crop_faces(
    result: DetectionResult, *, margin: Number = 0.0, square: bool = False, size_px: Whole | None = None
) -> list[npt.NDArray[np.uint8]]:
    """Each face cut out of the upright original, in the order of the boxes.

    What a crop shows beyond the picture's edge is black, so that the face keeps its place in it.

    Args:
        margin: widen the box by this share of its width on the left and right, of its height at top and bottom.
        square: then widen the shorter side to the longer one, about the centre.
        size_px: then resize to size_px x size_px pixels; None keeps the size.

    Returns:
        uint8 [H, W, 3] BGR each, as `predict` takes them.

    Raises:
        InvalidArgumentError: a margin below 0 or a size below 1.
        TritonFaceError: the image has no result; it is the result's `error`.

    Examples:
        >>> with create_model("BlazeFace", threshold=0.9) as model:
        ...     [result] = model.predict("photo.jpg")
        >>> faces = crop_faces(result, margin=0.2, size_px=112)
        >>> len(faces) == len(result), faces[0].shape
        (True, (112, 112, 3))
    """
    share, side_px = number(margin), whole_number(size_px)
    if share is None or not 0 <= share < float("inf"):
        raise InvalidArgumentError(f"margin must be a number from 0 on, got {margin!r}")
    if size_px is not None and (side_px is None or side_px < 1):
        raise InvalidArgumentError(f"size_px must be a whole number from 1 on, got {size_px!r}")
    picture = result.picture()
    return [_crop(picture, box["coordinate"], share, square, side_px) for box in result["boxes"]]


def _crop(
    picture: Image.Image, xyxy_px: list[float], margin: float, square: bool, size_px: int | None
) -> npt.NDArray[np.uint8]:
    x_min, y_min, x_max, y_max = xyxy_px
    width, height = (x_max - x_min) * (1 + 2 * margin), (y_max - y_min) * (1 + 2 * margin)
    if square:
        width = height = max(width, height)
    x_middle, y_middle = (x_min + x_max) / 2, (y_min + y_max) / 2
    left, top = round(x_middle - width / 2), round(y_middle - height / 2)
    right, bottom = max(left + 1, round(x_middle + width / 2)), max(top + 1, round(y_middle + height / 2))
    face = Image.new("RGB", (right - left, bottom - top), BLACK)
    face.paste(picture, (-left, -top))
    if size_px is not None:
        face = face.resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(face)[:, :, ::-1])
