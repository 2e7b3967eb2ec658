"""Results handed on: to `supervision`, as crops of faces for a recognition pipeline, as pictures without faces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from tritonface._blur import MARGIN, Style, checked_blur, hide
from tritonface._errors import InvalidArgumentError
from tritonface._numbers import Number, Whole, number, whole_number
from tritonface._result import DetectionResult
from tritonface._video import VideoFrame

if TYPE_CHECKING:
    import supervision

__all__ = ["blur", "blur_frames", "crop_faces", "to_supervision"]

BLACK = (0, 0, 0)
HELD_FRAMES = 5
"""Pictures of a video before and after one in which a face is hidden too: a fifth of a second in most."""

Picture = TypeVar("Picture", Image.Image, npt.NDArray[np.uint8])


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


def blur(image: Picture, result: DetectionResult, *, margin: Number = MARGIN, style: Style = "pixelate") -> Picture:
    """A copy of a picture with its faces made unrecognisable.

    Faces that were not found stay as they are: a lower `threshold` finds more, and blurs more that is no face.

    Args:
        image: that of the result, upright: `result.picture()`, or uint8 [H, W, 3] BGR or RGB.
        margin: widen each box by this share of its sides on each side.
        style: "pixelate" leaves six squares along the longer side of a widened box, "blur" the same made smooth, and
            "fill" nothing but black, of which no program can guess a face.

    Returns:
        A picture of the same kind; an RGB `PIL.Image` holds nothing but pixels, no EXIF, position or thumbnail.

    Raises:
        InvalidArgumentError: an argument is of no use, or the picture is not that of the result.
        TritonFaceError: the image has no result; it is the result's `error`.

    Example:
        >>> with create_model("BlazeFace", threshold=0.3) as model:
        ...     [result] = model.predict("photo.jpg")
        >>> blur(result.picture(), result).size == result.size_wh
        True
    """
    share, style = checked_blur(margin, style)
    if result.error is not None:
        raise result.error
    pixels = np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or pixels.shape[1::-1] != result.size_wh:
        raise InvalidArgumentError(
            f"the picture is {pixels.dtype} {list(pixels.shape)}, and the result that of one of {result.size_wh[0]} x "
            f"{result.size_wh[1]} pixels; pass result.picture(), or a uint8 [H, W, 3] array that is upright"
        )
    hidden = hide(pixels, [box["coordinate"] for box in result["boxes"]], share, style)
    return Image.fromarray(hidden) if isinstance(image, Image.Image) else hidden


def blur_frames(
    frames: Iterable[VideoFrame], *, margin: Number = MARGIN, style: Style = "pixelate", held: Whole = HELD_FRAMES
) -> Iterator[tuple[VideoFrame, npt.NDArray[np.uint8]]]:
    """Each frame of `predict_video` with its picture without faces, uint8 [H, W, 3] BGR.

    A face that is missed in single pictures would give itself away there; so each is hidden in the `held` pictures
    before and after as well. So many pictures are held here, and the frames come by so many later.

    Raises:
        InvalidArgumentError: an argument is of no use.

    Example:
        >>> from tritonface.video import VideoWriter
        >>> with create_model("BlazeFace", threshold=0.3) as model, VideoWriter("out.mp4", sound_of="film.mp4") as out:
        ...     for frame, picture in blur_frames(model.predict_video("film.mp4")):
        ...         out.write(picture, frame.time_s)
    """
    share, style = checked_blur(margin, style)
    around = whole_number(held)
    if around is None or around < 0:
        raise InvalidArgumentError(f"held must be a whole number from 0 on, got {held!r}")
    return _blurred(frames, share, style, around)


def _blurred(
    frames: Iterable[VideoFrame], margin: float, style: Style, around: int
) -> Iterator[tuple[VideoFrame, npt.NDArray[np.uint8]]]:
    waiting: deque[VideoFrame] = deque()
    boxes: deque[list[list[float]]] = deque(maxlen=2 * around + 1)

    def first() -> tuple[VideoFrame, npt.NDArray[np.uint8]]:
        frame = waiting.popleft()
        own = [box["coordinate"] for box in frame.result["boxes"]]  # first: what these cover is not done again
        return frame, hide(frame.image, [*own, *(box for each in boxes for box in each)], margin, style)

    for frame in frames:
        waiting.append(frame)
        boxes.append([box["coordinate"] for box in frame.result["boxes"]])
        if len(waiting) > around:
            yield first()
    while waiting:
        if len(boxes) > around + len(waiting):
            boxes.popleft()
        yield first()


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
