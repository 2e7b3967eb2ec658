"""What a command is given, taken apart: pictures, which go together, and videos, each for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from tritonface._errors import InvalidArgumentError
from tritonface._fetch import is_url
from tritonface._folder import images_of
from tritonface._image_file import format_of
from tritonface._inputs import tell_skipped
from tritonface._video_file import VIDEO_SUFFIXES, VideoInput, shown_name

CAMERA = re.compile(r"camera:(\d+)")
LOOKED_AT_BYTES = 64

Pictures = list[str]
"""Files and URLs, one after the other."""
Work = Union[Pictures, "Video"]


class Video:
    """A video file, or a camera by its number."""

    def __init__(self, source: VideoInput) -> None:
        self.source = source

    @property
    def name(self) -> str:
        """As messages call it."""
        return shown_name(self.source)

    @property
    def stem(self) -> str:
        """From which the names of saved files are made."""
        return Path(self.name.replace(":", "_")).stem if self.path is None else self.path.stem

    @property
    def path(self) -> Path | None:
        """The file; None for a camera."""
        return None if isinstance(self.source, int) else Path(self.source)


def works_of(inputs: list[str]) -> list[Work]:
    """All inputs in order; directories recursively, their pictures before their videos.

    Raises:
        InvalidArgumentError: an empty text, a directory with neither.
    """
    works: list[Work] = []
    skipped: list[Path] = []
    for single in _singles(inputs, skipped):
        if isinstance(single, Video):
            works.append(single)
        elif works and isinstance(works[-1], list):
            works[-1].append(single)
        else:
            works.append([single])
    tell_skipped(skipped)
    return works


def count_of(works: list[Work]) -> int:
    """How many pictures and videos there are."""
    return sum(1 if isinstance(work, Video) else len(work) for work in works)


def _singles(inputs: list[str], skipped: list[Path]) -> Iterator[str | Video]:
    for text in inputs:
        camera = CAMERA.fullmatch(text)
        if camera:
            yield Video(int(camera[1]))
        elif text and not is_url(text) and Path(text).is_dir():
            yield from _in_folder(Path(text), skipped)
        else:
            yield Video(text) if text and not is_url(text) and is_video(Path(text)) else text


def _in_folder(folder: Path, skipped: list[Path]) -> Iterator[str | Video]:
    others: list[Path] = []
    try:
        for path in images_of(folder, others):
            yield str(path)
    except InvalidArgumentError:  # there is no picture
        if not any(path.suffix.lower() in VIDEO_SUFFIXES for path in others):
            raise
    for path in others:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            yield Video(str(path))
        else:
            skipped.append(path)


def is_video(path: Path) -> bool:
    """Whether a file is one by its suffix, or else by its first bytes."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return format_of(file.read(LOOKED_AT_BYTES)) == "video"
    except (OSError, ValueError):
        return False
