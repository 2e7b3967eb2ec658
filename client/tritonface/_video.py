"""A video as images to be sent, and its pictures with their faces."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonface._draw import draw_on_bgr
from tritonface._errors import InvalidArgumentError
from tritonface._inputs import Source
from tritonface._numbers import whole_number
from tritonface._result import DetectionResult
from tritonface._video_file import VideoInput, read_pictures, shown_name

Shown = deque[tuple[int, float, npt.NDArray[np.uint8]]]

UNDER_WAY = 4
"""Pictures of a video, and images of the command for each server, unless told otherwise."""


@dataclass(frozen=True)
class VideoFrame:
    """One picture of a video or camera, and its faces.

    Attributes:
        index: its number, from 0; pictures that cannot be decoded are not counted.
        time_s: when it is shown, in seconds from the beginning of the file, or since the camera's first picture.
        image: uint8 [H, W, 3] BGR, upright; the boxes of `result` are in its pixels.
        result: as that of a photo; its "input_path" is the video's.
    """

    index: int
    time_s: float
    image: npt.NDArray[np.uint8]
    result: DetectionResult

    def drawn(self) -> npt.NDArray[np.uint8]:
        """The picture with its boxes, uint8 [H, W, 3] BGR."""
        return draw_on_bgr(self.image, self.result["boxes"])

    @property
    def json(self) -> dict[str, Any]:
        """`{"input_path", "frame", "time_s", "boxes"}`, plain Python values."""
        where = {"frame": self.index, "time_s": round(self.time_s, 6)}
        return {"input_path": self.result["input_path"], **where, "boxes": self.result["boxes"]}


class VideoSources:
    """The pictures of a video as images to be sent, read when they are asked for.

    Attributes:
        shown: (index, time_s, image) of those that were sent and not yet taken out, in order.
    """

    def __init__(self, source: VideoInput) -> None:
        self._source = source
        self.shown: Shown = deque()

    def __iter__(self) -> Iterator[Source]:
        name = shown_name(self._source)
        stem = Path(name.replace(":", "_")).stem
        for index, (time_s, image) in enumerate(read_pictures(self._source)):
            self.shown.append((index, time_s, image))
            yield Source(index, image, f"{stem}_{index:06d}.png", video=name)


def checked_video(source: VideoInput) -> VideoInput:
    """InvalidArgumentError unless it is a path or the number of a camera."""
    if isinstance(source, (str, os.PathLike)) and os.fspath(source):
        return source
    camera = None if isinstance(source, (str, os.PathLike)) else whole_number(source)
    if camera is None or camera < 0:
        raise InvalidArgumentError(
            f"a video is the path of a file or the number of a camera, from 0 on, got {source!r}"
        )
    return camera
