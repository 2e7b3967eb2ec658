"""The segments of a JPEG file, and its end."""

from __future__ import annotations

import re

from .header import NEARLY_NOTHING, ImageFileError, ImageHeader, damaged, undecodable
from .orientation import EXIF_PREFIX, MAX_BLOCKS, exif_orientation, orientation

START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
HUFFMAN_CODED = frozenset({0xC0, 0xC1, 0xC2})
PROGRESSIVE = 0xC2
APP1, START_OF_SCAN, END_OF_IMAGE = 0xE1, 0xDA, 0xD9
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"

SEGMENT = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
"""A marker with a length behind it, or the end; bytes that are stuffed, restarts and fill bytes are passed over."""
MAX_SEGMENTS = 4096
Place = tuple[int, int]
"""Where a segment begins, with its marker and length of four bytes, and where it ends."""
MAX_SCANS = 100
"""A progressive file has some ten scans, others four at most, and each one costs a pass over all pixels."""
MAX_SCANNED_PIXELS = 1_000_000_000
"""Pixels times scans: fewer scans for pictures of more than ten megapixels."""


def read_header(encoded: bytes) -> ImageHeader:
    """See the package; only the segments before the first scan are walked."""
    frame, exif, xmp, scans_at = _read_segments(encoded)
    height, width = (int.from_bytes(frame[at : at + 2], "big") for at in (2, 4))
    if not width or not height:
        raise damaged(f"{width}x{height} pixels")
    if frame[0] not in HUFFMAN_CODED:
        raise ImageFileError("the JPEG is arithmetic-coded or lossless, which browsers do not show; save it anew")
    blocks = ([encoded[start + 4 : end] for start, end in places[:MAX_BLOCKS]] for places in (exif, xmp))
    cut_off = encoded.rfind(b"\xff\xd9", scans_at) < 0
    return ImageHeader("JPEG", (width, height), orientation(*blocks), cut_off, _has_one_scan(encoded, frame, scans_at))


def decodable(encoded: bytes, header: ImageHeader) -> bytes:
    """The file, closed with an end marker where it is cut off; decoders leave the rest grey.

    Huffman codes take at least one bit for each block of 8x8 samples, those of a photo about a hundred: with fewer bits
    than blocks nearly nothing is there, and the size that the header claims would be paid for by whoever decodes.
    EXIF blocks of which nothing can be read are left out: Pillow complains of them.
    """
    frame, exif, _, scans_at = _read_segments(encoded)
    if 8 * (len(encoded) - scans_at) < _blocks(frame):
        raise undecodable(header, NEARLY_NOTHING)
    if not header.scalable:
        _check_scans(encoded, scans_at, header)
    if header.cut_off:
        encoded = encoded[: _last_whole(encoded, scans_at)] + b"\xff\xd9"
    kept = exif[:MAX_BLOCKS]
    unread = [(start, end) for start, end in kept if exif_orientation(encoded[start + 4 : end]) is None]
    return _without(encoded, unread + exif[MAX_BLOCKS:])


def _read_segments(encoded: bytes) -> tuple[bytes, list[Place], list[Place], int]:
    """The frame header (its marker first), where EXIF and XMP segments are, and where the first scan's data begins."""
    frame = b""
    exif: list[Place] = []
    xmp: list[Place] = []
    at = 2
    for _ in range(MAX_SEGMENTS):
        match = SEGMENT.search(encoded, at)
        if match is None or match[1][0] == END_OF_IMAGE:
            break
        marker, start, at = _segment(encoded, match)
        if marker in START_OF_FRAME and not frame:
            frame = bytes([marker]) + encoded[start:at]
        elif marker == APP1 and encoded.startswith(EXIF_PREFIX, start):
            exif.append((match.start(), at))
        elif marker == APP1 and encoded.startswith(XMP_PREFIX, start):
            xmp.append((match.start(), at))
        elif marker == START_OF_SCAN:
            if len(frame) < 7:
                break
            return frame, exif, xmp, at
    raise damaged("the file ends, or has too many segments, before its first pixels")


def _has_one_scan(encoded: bytes, frame: bytes, scans_at: int) -> bool:
    """Whether the first scan, whose data begin here, holds all colours of the picture in full."""
    count_at = scans_at - 4 - 2 * frame[6]  # if it does
    return frame[0] != PROGRESSIVE and encoded[count_at : count_at + 1] == frame[6:7]


def _check_scans(encoded: bytes, at: int, header: ImageHeader) -> None:
    """ImageFileError for more scans, that of which the data begin here included, than a picture of this size may have.

    A quick count comes first; it is too high where their marker stands in a film, say, behind the picture's end.
    """
    width, height = header.stored_wh
    most = max(1, min(MAX_SCANS, MAX_SCANNED_PIXELS // (width * height)))
    if encoded.count(b"\xff\xda", at) >= most and _scans_behind(encoded, at) >= most:
        raise ImageFileError(f"the JPEG has more than {most} scans; save it anew")


def _scans_behind(encoded: bytes, at: int) -> int:
    """How many scans begin from here to the picture's end."""
    count = 0
    for _ in range(MAX_SEGMENTS):
        match = SEGMENT.search(encoded, at)
        if match is None or match[1][0] == END_OF_IMAGE:
            return count
        marker, _, at = _segment(encoded, match)
        count += marker == START_OF_SCAN
    return MAX_SEGMENTS


def _segment(encoded: bytes, match: re.Match[bytes]) -> tuple[int, int, int]:
    """A segment's marker, and where its content begins and ends."""
    start = match.end()
    length = int.from_bytes(encoded[start : start + 2], "big")
    return match[1][0], start + 2, start + max(length, 2)


def _without(encoded: bytes, places: list[Place]) -> bytes:
    """The file without these segments, which come in order."""
    if not places:
        return encoded
    view = memoryview(encoded)
    begins, ends = [0, *(end for _, end in places)], [*(start for start, _ in places), len(encoded)]
    return b"".join(view[begin:end] for begin, end in zip(begins, ends))


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
