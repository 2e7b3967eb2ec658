"""The corpus: small awkward files, and what everyone who reads them must find in each."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from tests.corpus.pieces import (
    NOISE,
    PICTURE,
    app1_exif,
    app1_xmp,
    chunk,
    encoded,
    exif,
    interlaced_png,
    itxt_xmp,
    jpeg_header_of,
    jpeg_with,
    png_with,
    raw_profile,
    riff_chunk,
    upright,
    webp_with,
    xmp,
)

JPEG = encoded("JPEG", quality=95, subsampling=0)
PROGRESSIVE = encoded("JPEG", quality=95, subsampling=0, progressive=True)
PNG, BMP, WEBP = encoded("PNG", compress_level=0), encoded("BMP"), encoded("WEBP", quality=95)
LOSSLESS = encoded("WEBP", lossless=True)
GREY = np.asarray(PICTURE @ np.array([0.299, 0.587, 0.114]), np.uint8)[:, :, None].repeat(3, axis=2)


@dataclass(frozen=True)
class File:
    """One file of the corpus.

    Attributes:
        picture: uint8 [H, W, 3] RGB, upright; None if only its size and that everyone sees the same are asked for.
        cut_off: it is taken with a warning.
        refusal: what the message says if it is refused; None if it is taken.
        fault: its name in the table of faults.
    """

    name: str
    data: bytes
    picture: np.ndarray | None = None
    cut_off: bool = False
    refusal: str | None = None
    fault: str = ""

    def __str__(self) -> str:
        return self.name


def corpus() -> list[File]:
    """All files."""
    return [*plain(), *turned(), *malformed_exif(), *ancillary_chunks(), *cut_off(), *refused(), *named()]


def plain() -> Iterator[File]:
    """Kinds of pixels of the formats that the server reads."""
    for mode, expected in (("RGB", PICTURE), ("L", GREY), ("RGBA", PICTURE), ("LA", GREY), ("P", None), ("1", None)):
        yield File(f"png {mode}", encoded("PNG", mode), expected, fault="A5")
    for mode, expected in (("RGB", PICTURE), ("L", GREY), ("P", None), ("1", None), ("RGBA", PICTURE)):
        yield File(f"bmp {mode}", encoded("BMP", mode), expected, fault="A5")
    for mode, expected in (("RGB", PICTURE), ("L", GREY), ("CMYK", PICTURE), ("YCbCr", PICTURE)):
        yield File(f"jpeg {mode}", encoded("JPEG", mode, quality=95), expected, fault="A5")
    yield File("jpeg progressive", PROGRESSIVE, PICTURE)
    yield File("png interlaced", interlaced_png(), PICTURE)
    yield File("png animated", encoded("PNG", save_all=True, append_images=[]), PICTURE)
    yield File("webp lossless", LOSSLESS, PICTURE)
    yield File("webp with alpha", encoded("WEBP", "RGBA", lossless=True), PICTURE)
    yield File("png with something behind it", PNG + chunk(b"acTL", bytes(8)) + chunk(b"fcTL", bytes(26)), PICTURE)
    yield File("jpeg with a film behind it", PROGRESSIVE + b"\xff\xda" * 200, PICTURE)
    yield File("jpeg with something behind it", JPEG + b"\0" * 500, PICTURE)
    yield File("jpeg with bytes between its segments", JPEG[:2] + b"\xff\xff\xff" + JPEG[2:], PICTURE)


def turned() -> Iterator[File]:
    """Eight orientations in every place where one can stand, in both byte orders."""
    for value, order in product(range(1, 9), ("little", "big")):
        block, other = exif(value, order), xmp(value % 8 + 1)
        places = {
            "jpeg exif": jpeg_with(JPEG, app1_exif(block)),
            "jpeg exif behind xmp": jpeg_with(JPEG, app1_xmp(other), app1_exif(block)),
            "jpeg exif before xmp": jpeg_with(JPEG, app1_exif(block), app1_xmp(other)),
            "jpeg exif behind a comment": jpeg_with(PROGRESSIVE, (0xFE, b"made by hand"), app1_exif(block)),
            "png exif": png_with(PNG, chunk(b"eXIf", block)),
            "png exif behind the pixels": png_with(PNG, itxt_xmp(other), chunk(b"eXIf", block), before=b"IEND"),
            "png exif as text": png_with(PNG, raw_profile(block)),
            "png exif as APP1 text": png_with(PNG, raw_profile(block, b"APP1")),
            "webp exif": webp_with(WEBP, (b"EXIF", block)),
            "webp exif with prefix": webp_with(LOSSLESS, (b"EXIF", b"Exif\0\0" + block)),
            "webp exif and xmp": webp_with(WEBP, (b"EXIF", block), (b"XMP ", other)),
        }
        for place, data in places.items():
            yield File(f"{place} {order} {value}", data, upright(value), fault="A1")
    for value, kind in product(range(1, 9), (1, 4)):
        data = jpeg_with(JPEG, app1_exif(exif(value, kind=kind)))
        yield File(f"jpeg exif of type {kind} {value}", data, upright(value), fault="A1")
    for value, style in product(range(1, 9), ("attribute", "element")):
        packet = xmp(value, style)
        places = {
            "jpeg": jpeg_with(JPEG, app1_xmp(packet)),
            "jpeg behind invalid exif": jpeg_with(JPEG, app1_exif(exif(0)), app1_xmp(packet)),
            "png": png_with(PNG, itxt_xmp(packet)),
            "png packed": png_with(PNG, itxt_xmp(packet, packed=True)),
            "webp": webp_with(WEBP, (b"XMP ", packet)),
        }
        for place, data in places.items():
            yield File(f"{place} xmp {style} {value}", data, upright(value), fault="A1")


def malformed_exif() -> Iterator[File]:
    """EXIF and XMP that say nothing valid: the picture stands as it is stored."""
    good = exif(6)
    blocks = {
        "empty": b"",
        "of zeros": bytes(40),
        "cut": good[:20],
        "with a directory beyond its end": b"MM\0*" + b"\xff" * 4,
        "with a directory in its header": b"MM\0*" + bytes(4),
        "with 65535 entries": good[:8] + b"\xff\xff" + bytes(30),
        "of another byte order": b"XX" + good[2:],
        "with orientation 0": exif(0),
        "with orientation 9": exif(9),
        "with two orientations": exif(6, count=2),
    }
    for name, block in blocks.items():
        for container, data in (
            ("jpeg", jpeg_with(JPEG, app1_exif(block))),
            ("png", png_with(PNG, chunk(b"eXIf", block))),
            ("png text", png_with(PNG, raw_profile(block))),
            ("webp", webp_with(WEBP, (b"EXIF", block))),
        ):
            yield File(f"{container} exif {name}", data, PICTURE, fault="A2")
    for value in ("0", "9", "", "six", "66"):
        yield File(f"jpeg xmp orientation {value!r}", jpeg_with(JPEG, app1_xmp(xmp(value))), PICTURE, fault="A2")
    yield File("png text exif of no digits", png_with(PNG, chunk(b"tEXt", b"Raw profile type exif\0zz")), PICTURE)


def ancillary_chunks() -> Iterator[File]:
    """Chunks of a PNG that no pixel needs, large, damaged or bombs."""
    bomb = zlib.compress(bytes(60_000_000), 9)
    chunks = {
        "text of 2 MB": chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000),
        "packed text": chunk(b"zTXt", b"Comment\0\0" + bomb),
        "a packed profile": chunk(b"iCCP", b"profile\0\0" + bomb),
        "packed xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        "a packed exif text": chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb),
        "a damaged packed text": chunk(b"zTXt", b"Comment\0\0not packed"),
        "a wrong checksum of text": chunk(b"tEXt", b"Comment\0x", crc=1),
        "a wrong checksum of exif": chunk(b"eXIf", exif(6), crc=1),
        "a wrong checksum of gamma": chunk(b"gAMA", bytes(4), crc=1),
        "a physical size of 3 bytes": chunk(b"pHYs", b"abc"),
        "a second header": chunk(b"IHDR", bytes(13)),
    }
    for name, inserted in chunks.items():
        for where in (b"IDAT", b"IEND"):
            data = png_with(PNG, inserted, before=where)
            yield File(f"png with {name} before {where.decode()}", data, PICTURE, fault="A3")


def cut_off() -> Iterator[File]:
    """Files without their end, of which decoders show something."""
    files = {
        "jpeg": encoded("JPEG", picture=NOISE),
        "progressive jpeg": encoded("JPEG", picture=NOISE, progressive=True),
        "png": encoded("PNG", picture=NOISE),
        "png without compression": PNG,
        "bmp": BMP,
    }
    for name, data in files.items():
        for lost in (1, 2, 10, 20, 200, len(data) // 3, len(data) // 2):
            picture = PICTURE if lost <= 10 and data is PNG else None
            yield File(f"{name} without its last {lost} bytes", data[:-lost], picture, cut_off=True, fault="A4")
    sideways = jpeg_with(JPEG, app1_xmp(xmp(6)))[:-2]
    yield File("jpeg on its side without its end", sideways, upright(6), cut_off=True, fault="A4")
    yield File("interlaced png without its end", interlaced_png()[:-1000], cut_off=True, fault="A4")
    yield File(
        "png with a damaged chunk length", PNG.replace(b"\0\0\0\0IEND", b"\0\1\0\0IEND"), PICTURE, True, fault="A4"
    )
    behind = webp_with(LOSSLESS, (b"EXIF", exif(1)))
    yield File("webp without the end of its exif", behind[:-5], PICTURE, cut_off=True, fault="A4")
    yield File("webp without a byte of padding", _odd_webp(), PICTURE, cut_off=True, fault="A4")


def refused() -> Iterator[File]:
    """Files of which too little is there, or that are damaged."""
    large = jpeg_header_of(8000, 8000, JPEG)
    scans = JPEG.index(b"\xff\xda")
    twice = PROGRESSIVE[:-2] + PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2] * 100 + b"\xff\xd9"
    yield File("jpeg of a few bytes that claims 8000x8000", large, refusal="nearly nothing of it is there", fault="C20")
    yield File("the same without its end", large[:-2], refusal="nearly nothing of it is there", fault="C20")
    yield File("jpeg without pixels", JPEG[: scans + 14] + b"\xff\xd9", refusal="nearly nothing", fault="C20")
    yield File("jpeg cut in its header", JPEG[: scans - 4], refusal="before its first pixels", fault="A4")
    yield File("progressive jpeg of a hundred scans", twice, refusal="more than 100 scans", fault="C18")
    one_colour = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    scans_of_one = JPEG[:scans] + (one_colour + bytes(64)) * 101 + b"\xff\xd9"
    yield File("jpeg of a hundred scans of one colour", scans_of_one, refusal="more than 100 scans", fault="C18")
    arithmetic = JPEG.replace(b"\xff\xc0", b"\xff\xc9")
    yield File("arithmetic jpeg", arithmetic, refusal="arithmetic-coded", fault="C20")
    yield File("png cut in its header", PNG[:20], refusal="no IHDR", fault="A4")
    yield File("png cut before its pixels", PNG[: PNG.index(b"IDAT") + 10], refusal="nearly nothing", fault="A4")
    damaged = PNG[:200] + bytes([PNG[200] ^ 255]) + PNG[201:]
    yield File("png with a wrong checksum of its pixels", damaged, refusal="checksum", fault="A3")
    hidden = PNG[: PNG.index(b"IDAT") - 4] + chunk(b"IEND", b"zTXt") + PNG[PNG.index(b"IDAT") - 4 :][:40]
    yield File("png whose pixels come behind its end", hidden, refusal="nearly nothing")
    yield File("bmp cut behind its header", BMP[:60], refusal="nearly nothing", fault="A4")
    yield File("bmp of an unknown header", BMP[:14] + b"\x29" + BMP[15:], refusal="it has 41 bytes", fault="A4")
    yield File("bmp cut in its header", BMP[:20], refusal="damaged", fault="A4")
    yield File("webp without its last pixels", WEBP[:-20], refusal="its pixels are not whole", fault="A4")
    for name, data in (("jpeg", JPEG), ("png", PNG), ("webp", WEBP), ("bmp", BMP)):
        yield File(f"{name} of 12 bytes", data[:12], refusal="damaged", fault="A4")
    yield File("png of no pixels", PNG[:16] + bytes(4) + PNG[20:], refusal="0x32 pixels")
    yield File("nothing", b"", refusal="empty", fault="A9")


def named() -> Iterator[File]:
    """Other formats, and what is no picture at all: told by name, with a remedy."""
    jpeg_text = base64.b64encode(JPEG)
    others = {
        "GIF": encoded("GIF"),
        "TIFF": encoded("TIFF"),
        "PNM": encoded("PPM"),
        "AVIF": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1",
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "JPEG XL": b"\xff\x0a" + bytes(20),
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
        "video": b"\0\0\0\x18ftypmp42" + bytes(12),
        "PDF": b"%PDF-1.7\n",
        "base64 text": jpeg_text,
        "base64 text of a picture": base64.b64encode(PNG),
        "data: URL": b"data:image/jpeg;base64," + jpeg_text,
        "HTML page": b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>404</body></html>",
        "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "JSON text": b'{"error": "not found"}',
        "ZIP or gzip archive": b"PK\3\4" + bytes(26),
        "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
        "something else": b"hello",
    }
    for name, data in others.items():
        yield File(f"named {name}", data, refusal=f"not a JPEG, PNG, BMP or WebP image, but .*{name}", fault="A9")


def _odd_webp() -> bytes:
    """A WebP whose last chunk lacks the byte that makes its length even, though the length in front counts it."""
    pixels = LOSSLESS[20 : 20 + int.from_bytes(LOSSLESS[16:20], "little")]
    odd = riff_chunk(b"VP8L", pixels if len(pixels) % 2 else pixels + b"\0")
    body = (odd if len(pixels) % 2 else riff_chunk(b"VP8L", pixels) + riff_chunk(b"JUNK", b"x"))[:-1]
    return b"RIFF" + (4 + len(body) + 1).to_bytes(4, "little") + b"WEBP" + body
