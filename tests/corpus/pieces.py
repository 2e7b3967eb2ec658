"""Pieces of encoded files that libraries do not write as awkwardly as cameras, editors and broken transfers do."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Literal

import numpy as np
from PIL import Image

ByteOrder = Literal["little", "big"]

COLOURS = np.array([[[200, 40, 30], [40, 180, 60]], [[50, 60, 210], [230, 220, 70]]], np.uint8)
PICTURE = COLOURS.repeat(16, axis=0).repeat(24, axis=1)
"""uint8 [32, 48, 3] RGB: four colours in quarters, so that no way of turning it looks like another."""


NOISE = np.random.default_rng(0).integers(0, 256, PICTURE.shape, np.uint8)


def encoded(image_format: str, mode: str = "RGB", picture: np.ndarray = PICTURE, **options: object) -> bytes:
    """A picture as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


def upright(orientation: int, picture: np.ndarray = PICTURE) -> np.ndarray:
    """What a stored picture of this EXIF orientation looks like, by the names that EXIF gives to rows and columns."""
    turned = picture.swapaxes(0, 1) if orientation >= 5 else picture
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned


def exif(orientation: int, order: ByteOrder = "big", kind: int = 3, count: int = 1) -> bytes:
    """A TIFF header and a directory of two entries, of which the second is the orientation."""
    mark, letter = (b"II*\0", "<") if order == "little" else (b"MM\0*", ">")
    value = {1: "B3x", 3: "H2x", 4: "I"}[kind]
    entries = struct.pack(f"{letter}HHIH2x", 0x0103, 3, 1, 6) + struct.pack(
        f"{letter}HHI{value}", 0x0112, kind, count, orientation
    )
    return mark + struct.pack(f"{letter}IH", 8, 2) + entries + bytes(4)


def xmp(orientation: object, style: str = "attribute") -> bytes:
    """An XMP packet, with the orientation as an attribute or as an element."""
    attribute = f' tiff:Orientation="{orientation}"' if style == "attribute" else ""
    element = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if style == "element" else ""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{attribute}>{element}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def jpeg_with(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with more segments (marker, content) before all others."""
    inserted = b"".join(struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data for marker, data in segments)
    return jpeg[:2] + inserted + jpeg[2:]


def app1_exif(block: bytes) -> tuple[int, bytes]:
    """An EXIF block as a JPEG segment."""
    return 0xE1, b"Exif\0\0" + block


def app1_xmp(packet: bytes) -> tuple[int, bytes]:
    """An XMP packet as a JPEG segment."""
    return 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    """A chunk of a PNG."""
    right = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", right if crc is None else crc)


def png_with(png: bytes, *chunks: bytes, before: bytes = b"IDAT") -> bytes:
    """A PNG with more chunks before the first one of this name."""
    at = png.index(before) - 4
    return png[:at] + b"".join(chunks) + png[at:]


def itxt_xmp(packet: bytes, packed: bool = False) -> bytes:
    """An XMP packet as a PNG chunk."""
    text = zlib.compress(packet) if packed else packet
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes([packed, 0]) + b"\0\0" + text)


def raw_profile(block: bytes, name: bytes = b"exif") -> bytes:
    """An EXIF block as ImageMagick writes it into a PNG: hexadecimal text."""
    text = b"\n%s\n%8d\n%s\n" % (name, len(block) + 6, (b"Exif\0\0" + block).hex().encode())
    return chunk(b"zTXt", b"Raw profile type " + name + b"\0\0" + zlib.compress(text))


def interlaced_png() -> bytes:
    """PICTURE in Adam7's seven passes."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = [b"\0" + row.tobytes() for x, y, dx, dy in passes for row in PICTURE[y::dy, x::dx]]
    height, width = PICTURE.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    pixels = zlib.compress(b"".join(rows), 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def webp_with(webp: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP in its extended form, with chunks behind the pixels."""
    height, width = PICTURE.shape[:2]
    flags = {b"EXIF": 8, b"XMP ": 4}
    extended = bytes([sum({flags[name] for name, _ in chunks}), 0, 0, 0]) + (width - 1).to_bytes(3, "little")
    body = riff_chunk(b"VP8X", extended + (height - 1).to_bytes(3, "little")) + webp[12:]
    body += b"".join(riff_chunk(*item) for item in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def riff_chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a WebP, padded to an even length."""
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def jpeg_header_of(width: int, height: int, template: bytes) -> bytes:
    """A JPEG whose header claims another size than its pixels have."""
    at = next(template.index(bytes([0xFF, marker])) for marker in (0xC0, 0xC2) if bytes([0xFF, marker]) in template)
    return template[: at + 5] + struct.pack(">HH", height, width) + template[at + 9 :]
