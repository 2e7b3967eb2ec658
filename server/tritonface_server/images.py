"""Encoded images to network input: limits first, then decode with EXIF orientation, then resize."""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tritonface_server.limits import (
    MAX_ENCODED_BYTES,
    MAX_NETWORK_SIDE_PX,
    MAX_PIXELS,
    MAX_SIDE_PX,
    MIN_NETWORK_SIDE_PX,
)

# A second wall behind check_header: OpenCV reads its own limit when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
import cv2

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
FORMAT_NAMES = "JPEG, PNG, BMP or WebP"
READ_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}

PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
"""What Pillow raises on damaged files."""

Image.init()
Image.MAX_IMAGE_PIXELS = None  # read_header has a limit of its own, with a message for the sender


class ImageError(ValueError):
    """An image the server will not or cannot decode; the message is written for its sender."""


class SizeError(ValueError):
    """A network input size that the detector does not take."""


class Header(NamedTuple):
    """What an encoded image says of itself: its format and its size in pixels before any EXIF rotation."""

    format: str
    width: int
    height: int


def read_header(encoded: bytes) -> Header:
    """Format and size, from the first bytes alone.

    Raises:
        ImageError: empty, too many bytes or pixels, or not one of the accepted formats.
    """
    if not encoded:
        raise ImageError(f"the image is empty (0 bytes); send an encoded {FORMAT_NAMES} file")
    if len(encoded) > MAX_ENCODED_BYTES:
        raise ImageError(
            f"the encoded image has {len(encoded):,} bytes, the limit is {MAX_ENCODED_BYTES:,}; "
            "send a smaller or more strongly compressed image"
        )
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            header = Header(image.format or "", *image.size)
    except UnidentifiedImageError:
        raise ImageError(f"not a {FORMAT_NAMES} image (first bytes {encoded[:8]!r})") from None
    except PILLOW_ERRORS as error:
        raise ImageError(f"the image header is damaged: {error}") from None
    if header.width * header.height > MAX_PIXELS or max(header.width, header.height) > MAX_SIDE_PX:
        raise ImageError(
            f"the image has {header.width}x{header.height} pixels, the limit is {MAX_PIXELS:,} in all "
            f"and {MAX_SIDE_PX:,} a side; send a smaller one"
        )
    return header


def decode_image(encoded: bytes, reduction: int = 1) -> np.ndarray:
    """The upright picture, uint8 [height, width, 3] BGR; EXIF orientation is applied, transparency dropped.

    Args:
        reduction: 1, or for a JPEG 2, 4 or 8: its sides are divided by that, rounded up, for a fraction of the work.

    Raises:
        ImageError: see `read_header`; also truncated or damaged pixel data.
    """
    header = read_header(encoded)
    try:
        image = _decode_png(encoded) if header.format == "PNG" else _decode(encoded, reduction)
    except (cv2.error, *PILLOW_ERRORS):
        image = None
    if image is None:
        raise ImageError(
            f"the image ({header.width}x{header.height} px by its header) cannot be decoded; the file is truncated "
            "or damaged"
        )
    return image


def decode_at_least(encoded: bytes, size_wh: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """The upright picture, a JPEG at 1/2, 1/4 or 1/8 if that still covers `size_wh`, and its full (width, height).

    Raises:
        ImageError: as `decode_image`.
    """
    header = read_header(encoded)
    reduction = _reduction(header, size_wh)
    image = decode_image(encoded, reduction)
    if reduction == 1:
        return image, size_wh_of(image)
    as_stored = _reduced(header.width, reduction), _reduced(header.height, reduction)
    upright = image.shape[1::-1] == as_stored
    return image, (header.width, header.height) if upright else (header.height, header.width)


def size_wh_of(image: np.ndarray) -> tuple[int, int]:
    """(width, height) in pixels of an array [height, width, ...]."""
    height, width = image.shape[:2]
    return width, height


def _reduction(header: Header, size_wh: tuple[int, int]) -> int:
    """How many times smaller a picture may be decoded, whichever side turns out to be up.

    The reduced sides have to differ if the full ones do: they tell `decode_at_least` whether the picture was turned.
    """
    sides = header.width, header.height
    for reduction in (8, 4, 2) if header.format == "JPEG" else ():
        reduced = [_reduced(side, reduction) for side in sides]
        if min(reduced) >= max(size_wh) and len(set(reduced)) == len(set(sides)):
            return reduction
    return 1


def _reduced(side_px: int, reduction: int) -> int:
    return -(-side_px // reduction)


def _decode(encoded: bytes, reduction: int) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), READ_FLAGS[reduction])


def _decode_png(encoded: bytes) -> np.ndarray:
    """The same pixels as OpenCV's, whose PNG reader (4.11) crashes on damaged animated files."""
    with Image.open(io.BytesIO(encoded), formats=["PNG"]) as image:
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return cv2.cvtColor(np.asarray(upright.convert("RGB")), cv2.COLOR_RGB2BGR)


def check_network_size(size_wh: tuple[int, int], multiple: int) -> None:
    """SizeError unless a network whose sides must be multiples of `multiple` may be fed with this size."""
    for side_px in size_wh:
        if not MIN_NETWORK_SIDE_PX <= side_px <= MAX_NETWORK_SIDE_PX or side_px % multiple:
            raise SizeError(
                f"img_size is {size_wh[0]}x{size_wh[1]} (width x height); this detector takes sides from "
                f"{MIN_NETWORK_SIDE_PX} to {MAX_NETWORK_SIDE_PX} px"
                + (f" that are multiples of {multiple}" if multiple > 1 else "")
            )


def resize(
    image: np.ndarray, size_wh: tuple[int, int], interpolation: str, out: np.ndarray | None = None
) -> np.ndarray:
    """The picture stretched to `size_wh` pixels (aspect ratio not kept), uint8 [height, width, 3].

    It is written into `out` where that is given, a contiguous array of that shape.
    """
    if image.shape[1::-1] != tuple(size_wh):
        return cv2.resize(image, size_wh, dst=out, interpolation=INTERPOLATIONS[interpolation])
    if out is None:
        return image
    out[:] = image
    return out


def limit_threads(count: int) -> None:
    """How many threads of this process may resize one picture."""
    cv2.setNumThreads(count)
