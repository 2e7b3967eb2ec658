"""Encoded images: read, converted, made from arrays, shrunk, opened upright. Limits come before decoding."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError, features

from tritonface import _image_file
from tritonface._errors import ImageError
from tritonface._image_file import CUT_OFF, FORMAT_NAMES, ImageFileError, ImageHeader, format_of
from tritonface._limits import MAX_ENCODED_BYTES, MAX_PIXELS, MAX_SIDE_PX
from tritonface._pixels import to_rgb

SENT_AS_THEY_ARE = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp"})
CONVERTED_HERE = frozenset(
    {".avif", ".dib", ".gif", ".heic", ".heif", ".hif", ".pbm", ".pfm", ".pgm", ".pnm", ".ppm", ".ras", ".sr", ".tif"}
) | {".tiff"}
SUFFIXES = SENT_AS_THEY_ARE | CONVERTED_HERE
"""What is an image in a folder; of a file that is named the content decides."""

READ_BY_PILLOW = {"AVIF": "AVIF", "DIB": "DIB", "GIF": "GIF", "PNM": "PPM", "Sun raster": "SUN", "TIFF": "TIFF"}
"""Formats that are converted here, with Pillow's names for them; HEIC needs an extra."""

TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each orientation upright."""

JPEG_QUALITY = 95
TRANSPARENT = frozenset({".png", ".tif", ".tiff", ".webp"})
"""Suffixes of formats that are written with transparency."""
BMP_HEADER_BYTES = 14 + 40

PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
"""What Pillow raises on damaged files."""


@dataclass(frozen=True)
class Payload:
    """An image ready to be sent.

    Attributes:
        original: the encoded image as it came; results draw on it.
        sent: the encoded image that travels.
        scale_xy: factors from the sent image's upright pixels to those of the original.
        warning: what is wrong with the original, where the server would not see it any more.
    """

    original: bytes
    sent: bytes
    scale_xy: tuple[float, float] = (1.0, 1.0)
    warning: str | None = None


def read_file(path: Path) -> bytes:
    """The bytes of a file, never more than the limit.

    Raises:
        OSError: it cannot be read.
        ImageError: it is larger than MAX_ENCODED_BYTES.
    """
    with path.open("rb") as file:
        said = min(os.fstat(file.fileno()).st_size, MAX_ENCODED_BYTES)
        data = file.read(said + 1)  # room for the limit would be 64 MiB, and slow, for each file
        if len(data) > said:  # it has grown, or is none of a disk
            data += file.read(MAX_ENCODED_BYTES - said)
    if len(data) > MAX_ENCODED_BYTES:
        raise ImageError(f"the file is larger than the limit of {MAX_ENCODED_BYTES:,} bytes; send a smaller image")
    return data


class OpenedImage(NamedTuple):
    """An encoded image within the limits: what its header says, and the file as decoders take it."""

    header: ImageHeader
    decodable: bytes


def open_image(data: bytes) -> OpenedImage:
    """Check an image of a format that the server reads, as the server does, without decoding it.

    Raises:
        ImageError: too many pixels, another format, or nearly nothing of it is there.
    """
    try:
        header = _image_file.read_header(data)
        check_size(header.stored_wh)
        return OpenedImage(header, _image_file.decodable(data, header))
    except ImageFileError as error:
        raise ImageError(str(error)) from None


def sendable(data: bytes) -> bytes:
    """The image itself, as BMP if its format is one that is read here and not by the server; content decides.

    Raises:
        ImageError: it cannot be converted.
    """
    name = format_of(data)
    if name == "HEIC":
        return to_bmp(_read_heic(data))
    return to_bmp(_read_with_pillow(data, name)) if name in READ_BY_PILLOW else data


def open_upright(data: bytes, longest_side_px: int | None = None) -> Image.Image:
    """The decoded picture, upright RGB; of a format that the server reads.

    Args:
        longest_side_px: a JPEG may be decoded smaller than it is, as long as its longer side keeps this length.

    Raises:
        ImageError: too many pixels, or not decodable.
    """
    header, decodable = open_image(data)
    try:
        with Image.open(io.BytesIO(decodable), formats=[header.format]) as image:
            if longest_side_px is not None:
                image.draft("RGB", (longest_side_px, longest_side_px))
            picture = to_rgb(image)
    except PILLOW_ERRORS as error:
        raise ImageError(f"the image cannot be decoded: {error}") from error
    return picture.transpose(TRANSPOSED[header.orientation]) if header.orientation in TRANSPOSED else picture


def _read_with_pillow(data: bytes, name: str) -> Image.Image:
    if name == "AVIF" and not ("avif" in features.modules and features.check("avif")):
        raise ImageError(
            f"is an AVIF image, which Pillow reads from 11.3 on; update it, or convert it to {FORMAT_NAMES}"
        )
    try:
        with Image.open(io.BytesIO(data), formats=[READ_BY_PILLOW[name]]) as image:
            check_size(image.size)
            image.load()
            _turn_by_pillow(image)
            return to_rgb(image)
    except ImageError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, far above ours
        raise ImageError(f"the {name} image has more than {MAX_PIXELS:,} pixels; send a smaller one") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"this kind of {name} image is not read, or it is damaged; convert it to {FORMAT_NAMES}"
        ) from None
    except (*PILLOW_ERRORS, RuntimeError) as error:  # the latter from AVIF's decoder
        raise ImageError(f"the {name} image cannot be decoded: {error}") from error


def _turn_by_pillow(image: Image.Image) -> None:
    """Make a picture upright in place; it keeps what its file says of its pixels."""
    with contextlib.suppress(*PILLOW_ERRORS):  # malformed EXIF
        ImageOps.exif_transpose(image, in_place=True)


def _read_heic(data: bytes) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(
            f"is a HEIC image; `pip install 'tritonface[heif]'` reads it, or convert it to {FORMAT_NAMES}"
        ) from None
    try:
        container = pillow_heif.open_heif(io.BytesIO(data))
        check_size(container.size)
        return to_rgb(container.to_pillow())  # upright: a HEIC is turned by its own boxes, its EXIF tells nothing new
    except ImageError:
        raise
    except (*PILLOW_ERRORS, RuntimeError) as error:
        raise ImageError(f"the HEIC image cannot be decoded: {error}") from error


def shrink(data: bytes, max_side_px: int) -> Payload:
    """A JPEG whose longer side has `max_side_px` pixels; the image itself if it is no larger.

    Raises:
        ImageError: see `open_upright`.
    """
    header = open_image(data).header
    width, height = header.upright_wh
    longest = max(width, height)
    if longest <= max_side_px:
        return Payload(data, data)
    size = (max(1, round(width * max_side_px / longest)), max(1, round(height * max_side_px / longest)))
    small = open_upright(data, max_side_px).resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=JPEG_QUALITY)
    scale_xy = width / size[0], height / size[1]
    return Payload(data, buffer.getvalue(), scale_xy, CUT_OFF if header.cut_off else None)


def to_bmp(image: Image.Image) -> bytes:
    """A picture as BMP; as PNG if that would be larger than the server takes."""
    buffer = io.BytesIO()
    size = image.width * image.height * len(image.getbands())
    image.save(buffer, "BMP" if size < MAX_ENCODED_BYTES * 0.99 else "PNG")
    return buffer.getvalue()


def encode_array(array: npt.NDArray[np.uint8]) -> bytes:
    """An array without loss: uint8 [H, W, 3] BGR or [H, W] grey.

    Raises:
        ImageError: another type or shape, or too many pixels.
    """
    if array.dtype != np.uint8:
        remedy = "convert it first, e.g. `(image * 255).astype('uint8')` for values in 0..1"
        raise ImageError(f"has dtype {array.dtype}, images are uint8; {remedy}")
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ImageError(f"has shape {list(array.shape)}, images are [height, width, 3] BGR or [height, width] grey")
    height, width = array.shape[:2]
    check_size((width, height))
    if array.ndim == 3 and array.size < MAX_ENCODED_BYTES * 0.99:
        return _bgr_to_bmp(array)
    mode, raw_mode = ("L", "L") if array.ndim == 2 else ("RGB", "BGR")
    return to_bmp(Image.frombuffer(mode, (width, height), np.ascontiguousarray(array), "raw", raw_mode, 0, 1))


def _bgr_to_bmp(array: npt.NDArray[np.uint8]) -> bytes:
    """A BMP file is a header and BGR rows: one copy, eight times faster than Pillow's writer.

    The layout is that of Windows' BITMAPFILEHEADER and BITMAPINFOHEADER; a negative height means top row first.
    """
    height, width = array.shape[:2]
    padding = -width * 3 % 4  # rows begin at multiples of four bytes
    rows = np.pad(array.reshape(height, width * 3), ((0, 0), (0, padding))) if padding else array
    size = rows.size
    file_header = struct.pack("<2sIHHI", b"BM", BMP_HEADER_BYTES + size, 0, 0, BMP_HEADER_BYTES)
    info_header = struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 24, 0, size, 0, 0, 0, 0)
    return b"".join((file_header, info_header, np.ascontiguousarray(rows).data))


def save_like(picture: Image.Image, original: bytes, path: Path) -> None:
    """Write an upright RGB picture with the original's transparency and colour profile, nothing else of its file."""
    header, decodable = open_image(original)
    with Image.open(io.BytesIO(decodable), formats=[header.format]) as image:
        profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None  # of these pixels
        transparent = image.has_transparency_data and path.suffix.lower() in TRANSPARENT
        alpha = image.convert("RGBA").getchannel("A") if transparent else None
    if alpha is not None:
        if header.orientation in TRANSPOSED:
            alpha = alpha.transpose(TRANSPOSED[header.orientation])
        picture = picture.copy()
        picture.putalpha(alpha)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=JPEG_QUALITY, icc_profile=profile)


def is_writable(suffix: str) -> bool:
    """Whether a picture can be written to a file of this suffix."""
    return Image.registered_extensions().get(suffix.lower()) in Image.SAVE


def check_size(size_wh: tuple[int, int]) -> None:
    """ImageError unless (width, height) are within the limits."""
    width, height = size_wh
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise ImageError(
            f"the image has {width}x{height} pixels, the limit is {MAX_PIXELS:,} in all and {MAX_SIDE_PX:,} a side; "
            "send a smaller one"
        )
