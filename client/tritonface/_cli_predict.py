"""`tritonface predict`: the faces of pictures and videos, shown and saved."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack

from tritonface._cli_formats import Text, make_format
from tritonface._cli_inputs import Video, count_of, works_of
from tritonface._cli_outputs import Output, video_suffix
from tritonface._cli_run import run
from tritonface._result import DetectionResult
from tritonface._video import VideoFrame
from tritonface._video_file import VideoFacts
from tritonface.video import VideoWriter


def predict(options: argparse.Namespace) -> int:
    """Run the command; returns how many inputs have no result."""
    works = works_of(options.input)
    output = None if options.save is None else Output(options.save, count_of(works))
    return run(options, works, _Predict(options, output))


class _Predict:
    def __init__(self, options: argparse.Namespace, output: Output | None) -> None:
        self._options, self._output = options, output

    def begin(self, labels: list[str]) -> Text:
        return make_format("jsonl" if self._options.json else self._options.format, labels)

    def picture(self, result: DetectionResult) -> None:
        if self._output is None:
            return
        if self._output.is_file:
            path = self._output.file(result["input_path"], "", "")
            result.save_to_img(path)
        else:
            result.save_all(self._output.path)

    def video(self, video: Video, frames: Iterator[VideoFrame], facts: VideoFacts) -> str:
        if self._output is None:
            for _ in frames:
                pass
            return ""
        path = self._output.file(video.name, f"{video.stem}_res", video_suffix(video.path))
        with ExitStack() as stack:
            sound = None if self._options.no_audio else video.path
            writer = stack.enter_context(VideoWriter(path, sound_of=sound, rate=facts.rate))
            lines = None
            for frame in frames:
                if lines is None and not self._output.is_file:
                    lines = stack.enter_context(path.with_suffix(".jsonl").open("w", encoding="utf-8"))
                writer.write(frame.drawn(), frame.time_s)
                if lines is not None:
                    lines.write(json.dumps(frame.json) + "\n")
        return f" -> {path}"
