"""The segments of a JPEG file, and its end."""

from __future__ import annotations

import re

from .header import NEARLY_NOTHING, ImageFileError, ImageHeader, damaged, undecodable
from .orientation import EXIF_PREFIX, exif_orientation, orientation

START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
HUFFMAN_CODED = frozenset({0xC0, 0xC1, 0xC2})
PROGRESSIVE = 0xC2
APP1, START_OF_SCAN, END_OF_IMAGE = 0xE1, 0xDA, 0xD9
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"

SEGMENT = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
"""A marker with a length behind it, or the end; bytes that are stuffed, restarts and fill bytes are passed over."""
MAX_SEGMENTS = 4096
MAX_SCANS = 100
"""A progressive file has some ten scans, and each one costs a pass over all pixels."""


def read_header(encoded: bytes) -> ImageHeader:
    """See the package; only the segments before the first scan are walked."""
    frame, exif, xmp, scans_at = _read_segments(encoded)
    height, width = (int.from_bytes(frame[at : at + 2], "big") for at in (2, 4))
    if not width or not height:
        raise damaged(f"{width}x{height} pixels")
    if frame[0] == PROGRESSIVE and encoded.count(b"\xff\xda", scans_at) > MAX_SCANS:
        raise ImageFileError(f"the JPEG has more than {MAX_SCANS} scans; save it anew")
    cut_off = encoded.rfind(b"\xff\xd9", scans_at) < 0
    return ImageHeader("JPEG", (width, height), orientation(exif, xmp), cut_off)


def decodable(encoded: bytes, header: ImageHeader) -> bytes:
    """The file, closed with an end marker where it is cut off; decoders leave the rest grey.

    Huffman codes take at least one bit for each block of 8x8 samples, those of a photo about a hundred: with fewer bits
    than blocks nearly nothing is there, and the size that the header claims would be paid for by whoever decodes.
    EXIF blocks of which nothing can be read are left out: Pillow complains of them.
    """
    frame, exif, _, scans_at = _read_segments(encoded)
    if frame[0] in HUFFMAN_CODED and 8 * (len(encoded) - scans_at) < _blocks(frame):
        raise undecodable(header, NEARLY_NOTHING)
    if header.cut_off:
        encoded = encoded[: _last_whole(encoded, scans_at)] + b"\xff\xd9"
    for block in exif:
        if exif_orientation(block) is None:
            encoded = encoded.replace(bytes([0xFF, APP1]) + (2 + len(block)).to_bytes(2, "big") + block, b"", 1)
    return encoded


def _read_segments(encoded: bytes) -> tuple[bytes, list[bytes], list[bytes], int]:
    """The frame header (its marker first), EXIF and XMP blocks, and where the first scan's data begins."""
    frame, exif, xmp, at = b"", [], [], 2
    for _ in range(MAX_SEGMENTS):
        match = SEGMENT.search(encoded, at)
        if match is None or match[1][0] == END_OF_IMAGE:
            break
        marker, start, at = _segment(encoded, match)
        body = encoded[start:at]
        if marker in START_OF_FRAME and not frame:
            frame = bytes([marker]) + body
        elif marker == APP1 and body.startswith(EXIF_PREFIX):
            exif.append(body)
        elif marker == APP1 and body.startswith(XMP_PREFIX):
            xmp.append(body)
        elif marker == START_OF_SCAN:
            if len(frame) < 7:
                break
            return frame, exif, xmp, at
    raise damaged("the file ends, or has too many segments, before its first pixels")


def _segment(encoded: bytes, match: re.Match[bytes]) -> tuple[int, int, int]:
    """A segment's marker, and where its content begins and ends."""
    start = match.end()
    length = int.from_bytes(encoded[start : start + 2], "big")
    return match[1][0], start + 2, start + max(length, 2)


def _blocks(frame: bytes) -> int:
    """How many blocks of 8x8 samples the picture has, those of its colours included."""
    height, width = (int.from_bytes(frame[at : at + 2], "big") for at in (2, 4))
    factors = [(byte >> 4, byte & 15) for byte in frame[8::3]][: frame[6]]
    most_x, most_y = (max([1, *sides]) for sides in zip(*factors)) if factors else (1, 1)
    return sum(-(-width * across // (8 * most_x)) * -(-height * down // (8 * most_y)) for across, down in factors)


def _last_whole(encoded: bytes, at: int) -> int:
    """Where the last segment ends of which all is there: between scans a cut may go through a table."""
    for _ in range(MAX_SEGMENTS):
        match = SEGMENT.search(encoded, at)
        if match is None:
            break
        _, _, at = _segment(encoded, match)
        if at > len(encoded):
            return match.start()
    return len(encoded)
