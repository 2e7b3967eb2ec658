"""The chunks of a WebP file: size, orientation, and its end."""

from __future__ import annotations

from collections.abc import Iterator

from .header import ImageHeader, damaged, undecodable
from .orientation import orientation

PIXELS = (b"VP8 ", b"VP8L")
MAX_CHUNKS = 100_000


def read_header(encoded: bytes) -> ImageHeader:
    """See the package."""
    size_wh, exif, xmp = None, [], []
    for name, start, end in _chunks(encoded):
        if size_wh is None:
            size_wh = _size_wh(name, encoded[start : start + 10])
        if name == b"EXIF":
            exif.append(encoded[start:end])
        elif name == b"XMP ":
            xmp.append(encoded[start:end])
    if size_wh is None or 0 in size_wh:
        raise damaged("no size")
    cut_off = len(encoded) < 8 + int.from_bytes(encoded[4:8], "little")
    return ImageHeader("WEBP", size_wh, orientation(exif, xmp), cut_off)


def decodable(encoded: bytes, header: ImageHeader) -> bytes:
    """The file; of a cut one the pixels, if all are there: decoders show nothing of a part."""
    if not header.cut_off:
        return encoded
    for name, start, end in _chunks(encoded):
        if name in PIXELS and end <= len(encoded):
            chunk = encoded[start - 8 : end] + bytes((end - start) % 2)
            return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
    raise undecodable(header, "its pixels are not whole")


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name, and where its data begins and ends; the last may end behind the file."""
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(encoded):
            return
        start, length = at + 8, int.from_bytes(encoded[at + 4 : at + 8], "little")
        yield encoded[at : at + 4], start, start + length
        at = start + length + length % 2


def _size_wh(name: bytes, data: bytes) -> tuple[int, int] | None:
    if name == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if name == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if name == b"VP8 ":
        return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
    return None
