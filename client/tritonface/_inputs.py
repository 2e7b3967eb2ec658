"""What `predict` accepts, taken apart into single images: arrays, files, URLs, directories, lists of these."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt

from tritonface._data_url import is_data_url
from tritonface._errors import ImageError, InvalidArgumentError
from tritonface._fetch import UrlPolicy, fetch, is_url, shown
from tritonface._folder import images_of
from tritonface._images import PILLOW_ERRORS, Payload, encode_array, read_file, sendable, shrink

Input = Union[npt.NDArray[np.uint8], str, "os.PathLike[str]", "list[Any]", "tuple[Any, ...]"]
Origin = Union["npt.NDArray[np.uint8]", Path, str]

NAMES_IN_A_MESSAGE = 5

log = logging.getLogger("tritonface")


@dataclass(frozen=True)
class Source:
    """One image to be: where it comes from, before anything is read.

    Attributes:
        index: position among all images of the call, from 0.
        origin: uint8 [H, W, 3] BGR or [H, W] grey, a file, or a URL.
        file_name: the name that saved results derive theirs from.
        video: path of the video, or camera:0, that an array is picture `index` of; None for others.
    """

    index: int
    origin: Origin
    file_name: str
    video: str | None = None

    @property
    def input_path(self) -> str | None:
        """The path or URL as results report it: as it was given, but for the data in a data URL."""
        return self.video if isinstance(self.origin, np.ndarray) else shown(str(self.origin))

    @property
    def label(self) -> str:
        """The image's name in messages."""
        if self.video is not None:
            return f"picture {self.index} of {self.video!r}"
        return f"array {self.index}" if self.input_path is None else repr(self.input_path)

    @property
    def has_a_name(self) -> bool:
        """Whether `input_path` tells it from all other images."""
        return self.input_path is not None and self.input_path == str(self.origin)

    async def load(self, urls: UrlPolicy, max_side_px: int | None) -> Payload:
        """The image to send; files travel as they are, arrays without loss.

        Raises:
            ImageError: the file or URL cannot be read, the array cannot be a picture.
        """
        fetched = await fetch(self.origin, urls) if isinstance(self.origin, str) else None
        return await asyncio.get_running_loop().run_in_executor(None, self._payload, fetched, max_side_px)

    def _payload(self, fetched: bytes | None, max_side_px: int | None) -> Payload:
        try:
            if isinstance(self.origin, np.ndarray):
                data = encode_array(self.origin)
            elif isinstance(self.origin, Path):
                data = sendable(read_file(self.origin))
            else:
                data = sendable(fetched or b"")
            return Payload(data, data) if max_side_px is None else shrink(data, max_side_px)
        except PILLOW_ERRORS as error:
            message = f"{self.label} {error}" if self.input_path is None else self._cannot_read(error)
            raise ImageError(message, self.input_path) from error

    def _cannot_read(self, error: Exception) -> str:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            reason = f"{reason}; an image in base64 is passed as a URL, 'data:image/jpeg;base64,...'"
        return f"cannot read {self.label}: {reason}"


def iterate_sources(value: Input, unnamed: Iterator[int] | None = None) -> Iterator[Source]:
    """All images of `value` in order; directories recursively, their files sorted by path.

    What a directory holds that is no image is left out, and said in one warning at the end.

    Args:
        unnamed: numbers for images that have no name, such as arrays.

    Raises:
        InvalidArgumentError: a value of another type, a directory without images.
    """
    numbers = itertools.count() if unnamed is None else unnamed
    skipped: list[Path] = []
    for index, origin in enumerate(_flatten(value, skipped)):
        yield Source(index, origin, _file_name(origin) or f"image_{next(numbers):06d}.png")
    tell_skipped(skipped)


def tell_skipped(skipped: list[Path]) -> None:
    """One warning of what was left out, if anything was."""
    if skipped:
        names = ", ".join(map(str, skipped[:NAMES_IN_A_MESSAGE]))
        more = ", ..." if len(skipped) > NAMES_IN_A_MESSAGE else ""
        log.warning("left out %d, no images of a format that is read: %s%s", len(skipped), names, more)


def _flatten(value: Input, skipped: list[Path]) -> Iterator[Origin]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _flatten(item, skipped)
    elif isinstance(value, str) and not value:
        raise InvalidArgumentError(
            "an input is an empty string; pass the path of a file or directory, '.' for this one"
        )
    elif isinstance(value, str) and is_url(value):
        yield value
    elif isinstance(value, (str, os.PathLike)):
        path = Path(os.fsdecode(value))
        if _is_directory(path):
            yield from images_of(path, skipped)
        else:
            yield path
    else:
        raise InvalidArgumentError(
            f"cannot read images from a value of type {type(value).__name__}; pass a numpy array, the path of a file "
            "or directory, a URL, or a list of these"
        )


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a text that is no path at all; reading it as a file says what is wrong
        return False


def _file_name(origin: Origin) -> str:
    """The name in a path or URL; "" if there is none."""
    if isinstance(origin, Path):
        return origin.name
    if not isinstance(origin, str) or is_data_url(origin):
        return ""
    try:
        name = unquote(urlsplit(origin).path).rpartition("/")[2]
    except ValueError:  # no URL; fetching it says what is wrong
        return ""
    return "".join(c for c in name if c.isprintable() and c not in '\\/:*?"<>|')
