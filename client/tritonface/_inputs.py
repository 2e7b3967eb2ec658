"""What `predict` accepts, taken apart into single images: arrays, files, URLs, directories, lists of these."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt

from tritonface._errors import ImageError, InvalidArgumentError
from tritonface._fetch import UrlPolicy, fetch, is_url
from tritonface._images import PILLOW_ERRORS, SUFFIXES, Payload, encode_array, read_file, sendable, shrink

Input = Union[npt.NDArray[np.uint8], str, "os.PathLike[str]", "list[Any]", "tuple[Any, ...]"]


@dataclass(frozen=True)
class Source:
    """One image to be: where it comes from, before anything is read.

    Attributes:
        index: position among all images of the call, from 0.
        origin: uint8 [H, W, 3] BGR or [H, W] grey, a file, or a URL.
    """

    index: int
    origin: npt.NDArray[np.uint8] | Path | str

    @property
    def input_path(self) -> str | None:
        """The path or URL as results report it."""
        return None if isinstance(self.origin, np.ndarray) else str(self.origin)

    @property
    def label(self) -> str:
        """The image's name in messages."""
        return f"array {self.index}" if self.input_path is None else repr(self.input_path)

    @property
    def file_name(self) -> str:
        """The name that saved results derive theirs from."""
        if isinstance(self.origin, Path):
            return self.origin.name
        name = unquote(urlsplit(self.origin).path).rpartition("/")[2] if isinstance(self.origin, str) else ""
        return "".join(c for c in name if c.isprintable() and c not in '\\/:*?"<>|') or f"image_{self.index:06d}.png"

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
        return f"cannot read {self.label}: {getattr(error, 'strerror', None) or error or type(error).__name__}"


def iterate_sources(value: Input) -> Iterator[Source]:
    """All images of `value` in order; directories recursively, their files sorted by path.

    Raises:
        InvalidArgumentError: a value of another type, a directory without images.
    """
    for index, origin in enumerate(_flatten(value)):
        yield Source(index, origin)


def _flatten(value: Input) -> Iterator[npt.NDArray[np.uint8] | Path | str]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _flatten(item)
    elif isinstance(value, str) and is_url(value):
        yield value
    elif isinstance(value, (str, os.PathLike)):
        path = Path(value)
        if path.is_dir():
            yield from _files_of(path)
        else:
            yield path
    else:
        raise InvalidArgumentError(
            f"cannot read images from a value of type {type(value).__name__}; pass a numpy array, the path of a file "
            "or directory, a URL, or a list of these"
        )


def _files_of(directory: Path) -> list[Path]:
    files = sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise InvalidArgumentError(
            f"no image in directory {str(directory)!r} (looked for {' '.join(sorted(SUFFIXES))})"
        )
    return files
