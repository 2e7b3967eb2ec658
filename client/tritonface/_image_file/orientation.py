"""The one reading of a picture's orientation, from its EXIF and XMP blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

UPRIGHT = 1
SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations that make width and height change places."""

EXIF_PREFIX = b"Exif\0\0"
EXIF_ORIENTATION = 0x0112
INTEGER_BYTES = {1: 1, 3: 2, 4: 4}  # EXIF's BYTE, SHORT and LONG; some writers do not take the SHORT that is due
BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
MAX_IFD_ENTRIES = 1000
MAX_BLOCKS = 16
"""Blocks of a kind that are looked at; a file of 64 MB could have a hundred thousand."""
MAX_XMP_BYTES = 2**20
XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])\s*[\"'<]")


def orientation(exif_blocks: Sequence[bytes], xmp_blocks: Sequence[bytes]) -> int:
    """1 to 8: the first valid one of the EXIF blocks, else of the XMP blocks, else 1; malformed blocks are ignored."""
    found = [*map(exif_orientation, exif_blocks[:MAX_BLOCKS]), *map(xmp_orientation, xmp_blocks[:MAX_BLOCKS])]
    return next(filter(None, found), UPRIGHT)


def exif_orientation(block: bytes) -> int | None:
    """What the first directory of an EXIF block (a TIFF header and what follows) says; None if nothing valid."""
    tiff = block[len(EXIF_PREFIX) :] if block.startswith(EXIF_PREFIX) else block
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return None

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    directory = number(4, 4)
    for index in range(min(number(directory, 2), MAX_IFD_ENTRIES)):
        entry = directory + 2 + 12 * index
        tag, kind, count = number(entry, 2), number(entry + 2, 2), number(entry + 4, 4)
        if tag == EXIF_ORIENTATION and kind in INTEGER_BYTES and count == 1:
            value = number(entry + 8, INTEGER_BYTES[kind])
            return value if 1 <= value <= 8 else None
    return None


def xmp_orientation(block: bytes) -> int | None:
    """What an XMP packet says; None if nothing valid."""
    match = XMP_ORIENTATION.search(block[:MAX_XMP_BYTES])
    return int(match[1]) if match else None
