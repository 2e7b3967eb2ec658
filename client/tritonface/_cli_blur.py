"""`tritonface blur`: pictures and videos without faces."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from tritonface import integrations
from tritonface._blur import checked_blur
from tritonface._cli_formats import Text
from tritonface._cli_inputs import Video, count_of, works_of
from tritonface._cli_outputs import Output, picture_suffix, video_suffix
from tritonface._cli_run import run
from tritonface._images import PILLOW_ERRORS
from tritonface._result import DetectionResult
from tritonface._video import VideoFrame
from tritonface._video_file import VideoFacts
from tritonface.video import VideoWriter


def blur(options: argparse.Namespace) -> int:
    """Run the command; returns how many inputs have no result."""
    checked_blur(options.margin, options.style)
    works = works_of(options.input)
    return run(options, works, _Blur(options, Output(options.save, count_of(works))))


class _Blur:
    def __init__(self, options: argparse.Namespace, output: Output) -> None:
        self._output, self._no_audio = output, options.no_audio
        self._how = {"margin": options.margin, "style": options.style}

    def begin(self, labels: list[str]) -> Text:
        return Text()

    def picture(self, result: DetectionResult) -> None:
        name = result["input_path"]
        path = self._output.file(name, result.file_name.stem, picture_suffix(result.file_name))
        if _is_animation(name):
            print(f"warning: {name!r} is an animation; only its first picture is written", file=sys.stderr)
        result.save_picture(integrations.blur(result.picture(), result, **self._how), path)

    def video(self, video: Video, frames: Iterator[VideoFrame], facts: VideoFacts) -> str:
        path = self._output.file(video.name, video.stem, video_suffix(video.path))
        with VideoWriter(path, sound_of=None if self._no_audio else video.path, rate=facts.rate) as writer:
            for frame, hidden in integrations.blur_frames(frames, **self._how):
                writer.write(hidden, frame.time_s)
        return f" -> {path}"


def _is_animation(path: str) -> bool:
    with suppress(*PILLOW_ERRORS), Image.open(Path(path), formats=["GIF", "PNG", "WEBP"]) as image:
        return bool(getattr(image, "is_animated", False))
    return False
