"""The header of a BMP file, and its end."""

from __future__ import annotations

import struct

from .header import NEARLY_NOTHING, ImageHeader, damaged, undecodable
from .orientation import UPRIGHT

OS2_HEADER_BYTES = 12
HEADER_BYTES = frozenset({OS2_HEADER_BYTES, 40, 52, 56, 64, 108, 124})
PLAIN, BIT_FIELDS = 0, 3  # kinds of compression
DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})


def read_header(encoded: bytes) -> ImageHeader:
    """See the package; a BMP has no orientation."""
    width, height, _, _ = _info(encoded)
    if width <= 0 or not height:
        raise damaged(f"{width}x{height} pixels")
    return ImageHeader("BMP", (width, abs(height)), UPRIGHT, len(encoded) < _whole_bytes(encoded))


def decodable(encoded: bytes, header: ImageHeader) -> bytes:
    """The file, filled up with zeros where it is cut off."""
    if not header.cut_off:
        return encoded
    whole, first = _whole_bytes(encoded), _pixels_at(encoded)
    if len(encoded) - first < (whole - first) / 100:
        raise undecodable(header, NEARLY_NOTHING)
    return encoded.ljust(whole, b"\0")


def _info(encoded: bytes) -> tuple[int, int, int, int]:
    """Width, height (negative if the top row comes first), bits per pixel, kind of compression."""
    size = int.from_bytes(encoded[14:18], "little")
    if size not in HEADER_BYTES:
        raise damaged(f"it has {size} bytes")
    try:
        if size == OS2_HEADER_BYTES:
            width, height, _, depth = struct.unpack_from("<HHHH", encoded, 18)
            return width, height, depth, PLAIN
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", encoded, 18)
        return width, height, depth, compression
    except struct.error:
        raise damaged("the file ends in it") from None


def _pixels_at(encoded: bytes) -> int:
    return int.from_bytes(encoded[10:14], "little")


def _whole_bytes(encoded: bytes) -> int:
    """Length of the whole file if its rows are not packed; 0 if they are, which does not tell the length."""
    width, height, depth, compression = _info(encoded)
    if compression not in (PLAIN, BIT_FIELDS) or depth not in DEPTHS:
        return 0
    return _pixels_at(encoded) + -(-width * depth // 32) * 4 * abs(height)
