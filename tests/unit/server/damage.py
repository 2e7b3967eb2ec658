"""Decodes encoded images after random damage; prints how many gave a picture and how many a refusal.

python -m tests.unit.server.damage SEED [COUNT]
"""

from __future__ import annotations

import io
import random
import struct
import sys
import zlib

import numpy as np
from PIL import Image

from tritonface_server.images import ImageError, decode, open_image

SAVES = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("PNG", {"save_all": True}),
    ("BMP", {}),
    ("WEBP", {}),
    ("WEBP", {"save_all": True, "lossless": True}),
]


def originals(rng: random.Random) -> list[bytes]:
    """One small picture in every format, animated where the format can."""
    pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (20, 30, 3), np.uint8)
    first, second = (Image.fromarray(p).resize((120, 80)) for p in (pixels, 255 - pixels))
    encoded = []
    for image_format, options in SAVES:
        buffer = io.BytesIO()
        first.save(buffer, image_format, **options, **({"append_images": [second]} if "save_all" in options else {}))
        encoded.append(buffer.getvalue())
    return encoded


def damage(data: bytearray, rng: random.Random) -> bytes:
    """Bytes changed, cut out and put in, more often near the header."""
    for _ in range(rng.choice((1, 2, 5, 20))):
        at = rng.randrange(min(len(data), rng.choice((60, len(data)))) or 1)
        kind = rng.random()
        if kind < 0.6 and data:
            data[at] = rng.randrange(256)
        elif kind < 0.8:
            del data[at : at + rng.randrange(1, 50)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 20))
    return bytes(with_right_checksums(data) if rng.random() < 0.7 else data)


def with_right_checksums(data: bytearray) -> bytearray:
    """A PNG whose chunks have the checksums of what they hold, so that damage gets as far as the decoder."""
    at = 8
    while data[1:4] == b"PNG" and at + 12 <= len(data):
        end = at + 8 + struct.unpack_from(">I", data, at)[0]
        if end + 4 <= len(data):
            struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return data


def main(seed: int, count: int = 1500) -> None:
    """Decode `count` damaged images."""
    rng = random.Random(seed)
    encoded = originals(rng)
    pictures = refusals = 0
    for _ in range(count):
        try:
            damaged = damage(bytearray(rng.choice(encoded)), rng)
            picture = decode(open_image(damaged), (40, 40) if rng.random() < 0.3 else None)
        except ImageError:
            refusals += 1
        else:
            pictures += 1
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                sys.exit(f"a picture of {picture.dtype} {picture.shape}")
    print(pictures, refusals)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
