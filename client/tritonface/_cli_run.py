"""What the commands that detect faces share: inputs in order, progress, what becomes of failures."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

from tritonface._cli_formats import Text, faces
from tritonface._cli_inputs import Video, Work, count_of
from tritonface._cli_model import open_model
from tritonface._cli_progress import Progress
from tritonface._detector import FaceDetector
from tritonface._errors import ImageError
from tritonface._memory import keep_freed_memory
from tritonface._result import DetectionResult
from tritonface._video import VideoFrame
from tritonface._video_file import VideoFacts, facts_of


class Task(Protocol):
    """What a command does with results."""

    def begin(self, labels: list[str]) -> Text:
        """Called once, with the names of the classes; returns who shows the results."""

    def picture(self, result: DetectionResult) -> None:
        """One picture, found without an error."""

    def video(self, video: Video, frames: Iterator[VideoFrame], facts: VideoFacts) -> str:
        """All pictures of a video; returns what is said at its end, beside the count of faces."""


def run(options: argparse.Namespace, works: list[Work], task: Task) -> int:
    """Send everything through the detector; returns how many inputs have no result."""
    failed = 0
    keep_freed_memory()
    with ExitStack() as stack:
        model = stack.enter_context(open_model(options))
        show = task.begin(model.labels)
        stack.callback(show.end)
        progress = stack.enter_context(Progress(count_of(works), sys.stderr))
        for work in works:
            if isinstance(work, Video):
                progress.clear()
                failed += not _video(model, work, options, task, show)
                progress.advance()
                continue
            for result in model.predict(work, on_error="yield"):
                failed += result.error is not None
                progress.clear()
                if result.error is None:
                    task.picture(result)
                show.picture(result)
                progress.advance()
    return failed


def _video(model: FaceDetector, video: Video, options: argparse.Namespace, task: Task, show: Text) -> bool:
    """Whether it could be read."""
    found = count = 0
    began_s = time.monotonic()

    def watched() -> Iterator[VideoFrame]:
        nonlocal found, count
        for frame in model.predict_video(video.source, options.batch_size):
            count, found = count + 1, found + len(frame.result)
            if show.shows_frames:
                progress.clear()
            show.frame(frame)
            yield frame
            progress.advance()

    try:
        facts = facts_of(video.source)
        with Progress(facts.frames, sys.stderr, unit="pictures") as progress:
            more = task.video(video, watched(), facts)
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return False
    rate = count / max(time.monotonic() - began_s, 1e-9)
    show.line(f"{video.name}: {count:,} pictures, {faces(found)}, {rate:.1f} pictures/s{more}")
    return True
