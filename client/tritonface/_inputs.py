"""What `predict` accepts, turned into encoded images one by one: arrays, files, directories, lists of these."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt
from PIL import Image

from tritonface._errors import ImageError, InvalidArgumentError

Input = Union[npt.NDArray[np.uint8], str, "os.PathLike[str]", "list[Any]", "tuple[Any, ...]"]

SENT_AS_THEY_ARE = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
CONVERTED_HERE = frozenset({".dib", ".pbm", ".pgm", ".pnm", ".ppm", ".ras", ".sr", ".tif", ".tiff"})
SUFFIXES = SENT_AS_THEY_ARE | CONVERTED_HERE


@dataclass(frozen=True)
class Source:
    """One image to be: where it comes from, before anything is read.

    Attributes:
        index: position among all images of the call, from 0.
        path: the file; None for an array.
        array: uint8 [H, W, 3] BGR or [H, W] grey; None for a file.
    """

    index: int
    path: Path | None = None
    array: npt.NDArray[np.uint8] | None = None

    @property
    def input_path(self) -> str | None:
        """The path as results report it."""
        return None if self.path is None else str(self.path)

    @property
    def label(self) -> str:
        """The image's name in messages."""
        return f"array {self.index}" if self.path is None else repr(str(self.path))

    def encode(self) -> bytes:
        """The encoded image to send; files travel as they are, arrays losslessly as BMP.

        Raises:
            ImageError: the file cannot be read, the array cannot be a picture.
        """
        if self.array is not None:
            return self._encode_array(self.array)
        assert self.path is not None
        try:
            if self.path.suffix.lower() in CONVERTED_HERE:
                with Image.open(self.path) as image:
                    return _to_bmp(image.convert("RGB"))
            return self.path.read_bytes()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ImageError(f"cannot read {self.label}: {reason}", self.input_path) from error

    def _encode_array(self, array: npt.NDArray[np.uint8]) -> bytes:
        if array.dtype != np.uint8:
            remedy = "convert it first, e.g. `(image * 255).astype('uint8')` for values in 0..1"
            raise ImageError(f"{self.label} has dtype {array.dtype}, images are uint8; {remedy}")
        if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
            raise ImageError(
                f"{self.label} has shape {list(array.shape)}, images are [height, width, 3] BGR or [height, width] grey"
            )
        height, width = array.shape[:2]
        mode, raw_mode = ("L", "L") if array.ndim == 2 else ("RGB", "BGR")
        return _to_bmp(Image.frombuffer(mode, (width, height), np.ascontiguousarray(array), "raw", raw_mode, 0, 1))


def iterate_sources(value: Input) -> Iterator[Source]:
    """All images of `value` in order; directories recursively, their files sorted by path.

    Raises:
        InvalidArgumentError: a value of another type.
        ImageError: a directory without images, a path that does not exist.
    """
    for index, (path, array) in enumerate(_flatten(value)):
        yield Source(index, path, array)


def _flatten(value: Input) -> Iterator[tuple[Path | None, npt.NDArray[np.uint8] | None]]:
    if isinstance(value, np.ndarray):
        yield None, value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _flatten(item)
    elif isinstance(value, (str, os.PathLike)):
        if str(value).lower().startswith(("http://", "https://")):
            raise InvalidArgumentError(f"{value!r} is a URL, which is not fetched; download it and pass its path")
        path = Path(value)
        if path.is_dir():
            yield from ((file, None) for file in _files_of(path))
        else:
            yield path, None
    else:
        raise InvalidArgumentError(
            f"cannot read images from a value of type {type(value).__name__}; pass a numpy array, the path of a file "
            "or directory, or a list of these"
        )


def _files_of(directory: Path) -> list[Path]:
    files = sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise InvalidArgumentError(
            f"no image in directory {str(directory)!r} (looked for {' '.join(sorted(SUFFIXES))})"
        )
    return files


def _to_bmp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    return buffer.getvalue()
