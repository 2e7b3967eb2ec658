"""Where a command writes: a folder, or one file for one input; never over what it reads."""

from __future__ import annotations

from pathlib import Path

from tritonface._errors import InvalidArgumentError
from tritonface._images import is_writable
from tritonface._saved_names import saved_names
from tritonface.video import CODECS

KEPT_SUFFIXES = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
FALLBACK_SUFFIX = ".mkv"
"""Of videos whose own kind is not written; it holds every sound."""


class Output:
    """The argument `--save`.

    Args:
        path: a file if it ends in the suffix of a picture or video and is no folder; a folder otherwise.
        count: how many inputs there are; None if each gives many files, which go to a folder.

    Raises:
        InvalidArgumentError: one file for several inputs.
    """

    def __init__(self, path: Path, count: int | None) -> None:
        suffix = path.suffix.lower()
        self.is_file = (is_writable(suffix) or suffix in CODECS) and not path.is_dir()
        self.path = path
        if self.is_file and count != 1:
            many = "there may be many to write" if count is None else f"there are {count} inputs"
            raise InvalidArgumentError(f"--save {path} is one file, and {many}; name a folder")

    def file(self, origin: str, stem: str, suffix: str) -> Path:
        """The file to write, in a folder that is there.

        Args:
            origin: the input; two of the same stem get different names.
            stem, suffix: of the file, if a folder was given.

        Raises:
            InvalidArgumentError: it is the input itself.
        """
        folder = self.path.parent if self.is_file else self.path
        folder.mkdir(parents=True, exist_ok=True)
        path = self.path if self.is_file else folder / f"{saved_names.name(folder, stem, origin)}{suffix}"
        try:
            same = path.samefile(origin)
        except (OSError, ValueError):  # one of them is not there, or no file
            same = False
        if same:
            raise InvalidArgumentError(f"{str(path)!r} would be written over itself; choose another place with --save")
        return path


def picture_suffix(file_name: Path) -> str:
    """The suffix of a written picture: that of the input where such files are written without loss of colours."""
    return file_name.suffix if file_name.suffix.lower() in KEPT_SUFFIXES else ".png"


def video_suffix(path: Path | None) -> str:
    """The suffix of a written video: that of the input where such files are written."""
    if path is None:
        return ".mp4"
    return path.suffix if path.suffix.lower() in CODECS else FALLBACK_SUFFIX
