"""`tritonface crop`: each face of pictures and videos as a picture of its own."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from PIL import Image

from tritonface._cli_formats import Text
from tritonface._cli_inputs import Video, works_of
from tritonface._cli_outputs import Output, picture_suffix
from tritonface._cli_run import run
from tritonface._images import JPEG_QUALITY
from tritonface._result import DetectionResult
from tritonface._video import VideoFrame
from tritonface._video_file import VideoFacts
from tritonface.integrations import crop_faces


def crop(options: argparse.Namespace) -> int:
    """Run the command; returns how many inputs have no result."""
    return run(options, works_of(options.input), _Crop(options, Output(options.save, None)))


class _Crop:
    def __init__(self, options: argparse.Namespace, output: Output) -> None:
        self._output, self._min_side_px = output, options.min_side_px
        self._how = {"margin": options.margin, "square": options.square, "size_px": options.size}

    def begin(self, labels: list[str]) -> Text:
        return Text()

    def picture(self, result: DetectionResult) -> None:
        self._write(result, result["input_path"], result.file_name.stem, picture_suffix(result.file_name))

    def video(self, video: Video, frames: Iterator[VideoFrame], facts: VideoFacts) -> str:
        for frame in frames:
            self._write(frame.result, f"{video.name}:{frame.index}", f"{video.stem}_{frame.index:06d}", ".jpg")
        return f" -> {self._output.path}"

    def _write(self, result: DetectionResult, origin: str, stem: str, suffix: str) -> None:
        if not len(result):
            return
        for index, (box, face) in enumerate(zip(result["boxes"], crop_faces(result, **self._how))):
            x_min, y_min, x_max, y_max = box["coordinate"]
            if min(x_max - x_min, y_max - y_min) >= self._min_side_px:
                path = self._output.file(f"{origin}#{index}", f"{stem}_{index}", suffix)
                Image.fromarray(face[:, :, ::-1]).save(path, quality=JPEG_QUALITY)
