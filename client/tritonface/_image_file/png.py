"""The chunks of a PNG file: those that pixels need, those that tell the orientation, and its end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from .header import NEARLY_NOTHING, ImageHeader, damaged, undecodable
from .orientation import MAX_BLOCKS, MAX_XMP_BYTES, orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
"""What decoders are given; text, profiles and further pictures can be damaged or bombs, and no pixel needs them."""
METADATA = frozenset({b"eXIf", b"iTXt", b"tEXt", b"zTXt"})
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced picture: first column and row, steps between columns and rows."""
MAX_CHUNKS = 100_000
PIECE_BYTES = 2**16


def read_header(encoded: bytes) -> ImageHeader:
    """See the package."""
    first = next(_chunks(encoded), None)
    if first is None or first[0] != b"IHDR" or first[2] - first[1] < 13:
        raise damaged("no IHDR chunk")
    width, height = struct.unpack_from(">II", encoded, first[1])
    if not width or not height:
        raise damaged(f"{width}x{height} pixels")
    exif: list[bytes] = []
    xmp: list[bytes] = []
    name = b""
    view = memoryview(encoded)
    for name, start, end in _chunks(encoded):
        if name not in METADATA or len(exif) + len(xmp) == MAX_BLOCKS or not _is_intact(view, start, end):
            continue
        if name == b"eXIf":
            exif.append(encoded[start:end])
        else:
            _read_text(name, encoded[start : min(end, start + MAX_XMP_BYTES)], exif, xmp)
    return ImageHeader("PNG", (width, height), orientation(exif, xmp), name != b"IEND")


def decodable(encoded: bytes, header: ImageHeader) -> bytes:
    """The file with the needed chunks only; where it is cut off, the missing rows are zeros."""
    if header.cut_off:
        return _filled(encoded, header)
    view, chunks = memoryview(encoded), list(_chunks(encoded))
    parts: list[bytes | memoryview] = [SIGNATURE]
    seen: set[bytes] = set()
    for name, start, end in chunks:
        if name in NEEDED and (name == b"IDAT" or name not in seen):
            if not _is_intact(view, start, end):
                raise undecodable(header, f"the checksum of a chunk {name.decode()} is wrong")
            parts.append(view[start - 8 : end + 4])
        seen.add(name)
    if b"IDAT" not in seen:
        raise undecodable(header, NEARLY_NOTHING)
    whole = len(parts) == 1 + len(chunks) and chunks[-1][2] + 4 == len(encoded)  # OpenCV reads on behind IEND
    return encoded if whole else b"".join(parts)


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name, and where its data begins and ends; of a cut one only if it holds pixels."""
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        name = encoded[at + 4 : at + 8]
        start, end = at + 8, at + 8 + int.from_bytes(encoded[at : at + 4], "big")
        whole = end + 4 <= len(encoded)
        if not name.isalpha() or (not whole and name != b"IDAT"):
            return
        yield name, start, min(end, len(encoded))
        if not whole or name == b"IEND":
            return
        at = end + 4


def _is_intact(view: memoryview, start: int, end: int) -> bool:
    """Whether a chunk's checksum, over its name and data, is right."""
    return zlib.crc32(view[start - 4 : end]) == int.from_bytes(view[end : end + 4], "big")


def _filled(encoded: bytes, header: ImageHeader) -> bytes:
    """A PNG of what is there of a cut one, and zeros."""
    ihdr = next(encoded[start:end] for name, start, end in _chunks(encoded) if name == b"IHDR")
    plte = [encoded[start:end] for name, start, end in _chunks(encoded) if name == b"PLTE"][:1]
    wanted = _unpacked_bytes(ihdr)
    missing, packer, packed = wanted, zlib.compressobj(1), []
    for piece in _unpacked(encoded):
        kept = piece[:missing]
        packed.append(packer.compress(kept))
        missing -= len(kept)
    if wanted - missing < wanted / 100:
        raise undecodable(header, NEARLY_NOTHING)
    while missing:
        zeros = bytes(min(missing, PIECE_BYTES))
        packed.append(packer.compress(zeros))
        missing -= len(zeros)
    packed.append(packer.flush())
    chunks = [(b"IHDR", ihdr), *((b"PLTE", palette) for palette in plte), (b"IDAT", b"".join(packed)), (b"IEND", b"")]
    return SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks)


def _unpacked(encoded: bytes) -> Iterator[bytes]:
    """The picture's filtered rows in small pieces, as far as they can be unpacked."""
    unpacker = zlib.decompressobj()
    for name, start, end in _chunks(encoded):
        if name != b"IDAT":
            continue
        for at in range(start, end, PIECE_BYTES):
            packed = encoded[at : min(at + PIECE_BYTES, end)]
            while packed:
                try:
                    yield unpacker.decompress(packed, PIECE_BYTES)
                except zlib.error:
                    return
                packed = unpacker.unconsumed_tail


def _unpacked_bytes(ihdr: bytes) -> int:
    """Length of the filtered rows of a whole picture: one byte before each row."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", ihdr)
    if colour not in CHANNELS:
        raise damaged(f"colour type {colour}")
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for x, y, step_x, step_y in passes:
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        total += rows * (1 + -(-columns * depth * CHANNELS[colour] // 8)) if columns > 0 and rows > 0 else 0
    return total


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _read_text(name: bytes, data: bytes, exif: list[bytes], xmp: list[bytes]) -> None:
    """Add the metadata that a text chunk may hold: XMP, or EXIF as ImageMagick and exiftool write it."""
    keyword, _, rest = data.partition(b"\0")
    if name == b"iTXt" and keyword == b"XML:com.adobe.xmp":
        packed, text = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        xmp.append(_unpack_text(text) if packed else text)
    elif name != b"iTXt" and keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
        text = _unpack_text(rest[1:]) if name == b"zTXt" else rest[:MAX_XMP_BYTES]
        lines = text.split(None, 2)  # name, length, hexadecimal digits
        try:
            exif.append(bytes.fromhex(lines[2].decode("ascii")))
        except (IndexError, ValueError):
            exif.append(b"")  # it counts, for it cost as much


def _unpack_text(packed: bytes) -> bytes:
    """As much of a packed text as metadata may have, whatever it would unpack to."""
    try:
        return zlib.decompressobj().decompress(packed, MAX_XMP_BYTES)
    except zlib.error:
        return b""
