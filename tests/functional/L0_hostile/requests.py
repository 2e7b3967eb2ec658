"""Hostile requests: names, types, shapes, counts, values, parameters, steps that are called directly, and bombs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.corpus.files import JPEG
from tests.corpus.pieces import chunk, encoded
from tests.functional.L0_hostile.wire import Request, Tensor, array, elements, image

GOOD = image(JPEG)
STEPS = ("640x640_cubic_preprocess", "BlazeFace_detector", "BlazeFace_hpi_detector", "BlazeFace_postprocess")


def names() -> Iterator[Request]:
    for name in (
        "Nope",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "a" * 2000,
        "BlazeFace%00",
        "BlazeFace/../x",
        "Gesicht",
    ):
        yield Request(f"model {name[:20]}", (GOOD,), model=name)
    for version in ("99", "0", "-1", "../1", "1/../../BlazeFace_detector/1", "x", "1" * 40):
        yield Request(f"version {version[:20]}", (GOOD,), version=version)


def inputs() -> Iterator[Request]:
    yield Request("no inputs")
    yield Request("another input", (Tensor("picture", "BYTES", (1, 1), GOOD.data),))
    yield Request("an input more", (GOOD, Tensor("more", "BYTES", (1, 1), GOOD.data)))
    yield Request("an input twice", (GOOD, GOOD))
    yield Request("a name of 3,000 letters", (GOOD, Tensor("x" * 3000, "BYTES", (1, 1), GOOD.data)))
    for datatype in ("FP32", "UINT8", "INT64", "FP16", "BF16", "NOPE", ""):
        yield Request(f"image as {datatype}", (Tensor("image", datatype, (1, 1), GOOD.data),))
    yield Request("threshold as INT64", (GOOD, array("threshold", np.array([[1]], np.int64))))
    yield Request("threshold as text", (GOOD, Tensor("threshold", "BYTES", (1, 1), elements(b"0.5"))))
    yield Request("strict as 7", (GOOD, Tensor("strict", "BOOL", (1, 1), b"\7")))


def shapes() -> Iterator[Request]:
    for shape in ((0, 1), (33, 1), (1, 2), (1,), (), (1, 1, 1), (-1, 1), (1, -1), (2**62, 1), (2**32, 2**32)):
        yield Request(f"image of shape {shape}", (Tensor("image", "BYTES", shape, GOOD.data),))
    yield Request("33 images", (image(*[JPEG] * 33),))
    for shape in ((0, 1), (2, 1), (1, 0), (1, 1000), (2**61, 1)):
        yield Request(f"threshold of shape {shape}", (GOOD, Tensor("threshold", "FP32", shape, bytes(4))))
    data = {
        "nothing": b"",
        "two bytes": b"\1\0",
        "a length alone": b"\4\0\0\0",
        "a length beyond the end": b"\xff\xff\xff\xff" + JPEG,
        "a negative length": b"\0\0\0\x80" + JPEG,
        "two elements": elements(JPEG, JPEG),
        "a byte more": GOOD.data + b"x",
        "a byte less": GOOD.data[:-1],
    }
    for name, content in data.items():
        yield Request(f"image of {name}", (Tensor("image", "BYTES", (1, 1), content),))
    yield Request("threshold of 3 bytes", (GOOD, Tensor("threshold", "FP32", (1, 1), bytes(3))))
    yield Request("threshold of 8 bytes", (GOOD, Tensor("threshold", "FP32", (1, 1), bytes(8))))


def values() -> Iterator[Request]:
    for value in (np.nan, np.inf, -np.inf, -1, 1.0000001, 3e38, 1e-45, -0.0):
        yield Request(f"threshold {value}", (GOOD, array("threshold", np.array([[value]], np.float32))))
    for size in ((0, 0), (-1, 640), (31, 32), (2049, 32), (2**31 - 1, 2**31 - 1), (-(2**31), 640), (33, 2048)):
        yield Request(f"img_size {size}", (GOOD, array("img_size", np.array([size], np.int32))))
    for size in ((0, 0), (-1, 640), (31, 640), (2**31 - 1, 2**31 - 1), (-(2**31), 640), (32, 32)):
        yield Request(f"tiles {size}", (GOOD, array("tiles", np.array([size], np.int32))))
    yield Request("tiles of two images", (image(JPEG, JPEG), array("tiles", np.full((2, 2), 640, np.int32))))
    two = np.array([[640, 640], [32, 32]], np.int32)
    yield Request("two sizes in one request", (image(JPEG, JPEG), array("img_size", two)))
    large = np.full((32, 2), 2048, np.int32)
    yield Request("32 images at 2048x2048", (image(*[JPEG] * 32), array("img_size", large)))


def outputs_and_parameters() -> Iterator[Request]:
    yield Request("an unknown output", (GOOD,), ("nope",))
    yield Request("an output twice", (GOOD,), ("error", "error"))
    for name in ("error", "warning", "num_detections"):
        yield Request(f"only the output {name}", (GOOD,), (name,))
    yield Request("an id of 8 MB", (GOOD,), id="x" * 8_000_000)
    for key, value in {
        "timeout": -1,
        "priority": 2**62,
        "sequence_id": 2**62,
        "sequence_start": True,
        "triton_enable_empty_final_response": True,
        "unknown": "x" * 100_000,
    }.items():
        yield Request(f"parameter {key}={str(value)[:20]}", (GOOD,), parameters={key: value})
    yield Request("a timeout of 1 us", (GOOD,), parameters={"timeout": 1})
    foreign = {"shared_memory_region": "nobody's", "shared_memory_byte_size": 100}
    yield Request("a region that nobody has", (Tensor("image", "BYTES", (1, 1), b"", foreign),))


def steps() -> Iterator[Request]:
    for name in STEPS:
        yield Request(f"{name} without inputs", model=name)
    for size in ((0, 0), (1, 1), (31, 640), (2049, 32), (640, 0)):
        picture = np.zeros((1, *size, 3), np.uint8)
        for name in STEPS[1:3]:
            yield Request(f"{name} with a picture of {size}", (array("picture", picture),), model=name)
    yield Request(
        "BlazeFace_detector with 4 channels", (array("picture", np.zeros((1, 64, 64, 4), np.uint8)),), model=STEPS[1]
    )
    good = {
        "boxes": np.zeros((1, 10, 4), np.float32),
        "scores": np.zeros((1, 10), np.float32),
        "sizes_wh": np.full((1, 2, 2), 640, np.int32),
    }
    hostile = {
        "scores longer than boxes": {"scores": np.zeros((1, 20), np.float32)},
        "no boxes": {"boxes": np.zeros((1, 0, 4), np.float32), "scores": np.zeros((1, 0), np.float32)},
        "boxes of 5 numbers": {"boxes": np.zeros((1, 10, 5), np.float32)},
        "boxes that are no numbers": {
            "boxes": np.full((1, 10, 4), np.nan, np.float32),
            "scores": np.ones((1, 10), np.float32),
        },
        "infinite boxes": {"boxes": np.full((1, 10, 4), np.inf, np.float32), "scores": np.ones((1, 10), np.float32)},
        "huge boxes": {"boxes": np.full((1, 10, 4), 3e38, np.float32), "scores": np.ones((1, 10), np.float32)},
        "scores that are no numbers": {"scores": np.full((1, 10), np.nan, np.float32)},
        "infinite scores": {"scores": np.full((1, 10), np.inf, np.float32)},
        "tiles out of the world": {"tile_xy": np.array([[-(2**31), 2**31 - 1]], np.int32)},
        "sizes of nothing": {"sizes_wh": np.zeros((1, 2, 2), np.int32)},
        "half a size": {
            "sizes_wh": np.array([[[640, 640], [0, 640]]], np.int32),
            "scores": np.ones((1, 10), np.float32),
        },
        "negative sizes": {"sizes_wh": np.full((1, 2, 2), -640, np.int32), "scores": np.ones((1, 10), np.float32)},
        "the largest sizes": {
            "sizes_wh": np.full((1, 2, 2), 2**31 - 1, np.int32),
            "scores": np.ones((1, 10), np.float32),
        },
    }
    for what, other in hostile.items():
        tensors = tuple(array(name, values) for name, values in (good | other).items())
        extra = (array("ticket", np.array([[2**64 - 1]], np.uint64)), *unreadable())
        yield Request(f"BlazeFace_postprocess with {what}", (*tensors, *extra), model=STEPS[3])
    tensors = tuple(array(name, values) for name, values in good.items())
    for ticket in (0, 1, 2**63, 2**64 - 1):
        forged = (array("ticket", np.array([[ticket]], np.uint64)), *unreadable())
        yield Request(f"BlazeFace_postprocess with the ticket {ticket}", (*tensors, *forged), model=STEPS[3])


def unreadable() -> tuple[Tensor, Tensor]:
    """What preprocessing says of images, for the last step."""
    return tuple(Tensor(name, "BYTES", (1, 1), elements(b"")) for name in ("image_error", "image_warning"))


def pictures() -> Iterator[Request]:
    bombs = {
        "an empty image": b"",
        "a PNG of 5000x5000": _flat("PNG", (5000, 5000)),
        "a PNG of 8000x8000": _flat("PNG", (8000, 8000)),
        "a PNG of 2^31-1": b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)),
        "a PNG with 60 MB of text": _flat("PNG", (8, 8))[:33]
        + chunk(b"zTXt", b"C\0\0" + zlib.compress(bytes(60_000_000)))
        + _flat("PNG", (8, 8))[33:],
        "a WebP of 5000x5000": _flat("WEBP", (5000, 5000), lossless=True, method=0),
        "a WebP of 16383x16383": b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f\xfe\xbf\xff\x0f" + bytes(12),
        "a JPEG of 8000x8000": _flat("JPEG", (8000, 8000)),
        "a JPEG of 65500x65500": JPEG[:163] + JPEG[163:].replace(b"\0\x20\0\x30", b"\xff\xdc\xff\xdc", 1),
        "a progressive JPEG of 5000x5000": _flat("JPEG", (5000, 5000), progressive=True),
        "a BMP of 30000x30000": b"BM"
        + struct.pack("<IHHIIiiHHIIIIII", 58, 0, 0, 54, 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0),
        "a GIF": encoded("GIF"),
        "a TIFF": encoded("TIFF"),
        "an AVIF": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1",
        "a HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "a path": b"/etc/passwd",
        "a URL": b"http://127.0.0.1:22/x.jpg",
        "an SVG that asks for a file": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    }
    for what, data in bombs.items():
        yield Request(what, (image(data),))


def _flat(image_format: str, size_wh: tuple[int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size_wh, (90, 20, 30)).save(buffer, image_format, **options)
    return buffer.getvalue()


GROUPS = (names, inputs, shapes, values, outputs_and_parameters, steps, pictures)
TAKEN = {
    "threshold 1e-45",
    "img_size (33, 2048)",
    "only the output error",
    "a PNG of 5000x5000",
    "a PNG with 60 MB of text",
    "a WebP of 5000x5000",
    "a JPEG of 8000x8000",
    "a progressive JPEG of 5000x5000",
}
"""What is unusual but right."""
NEVER_TAKEN = {
    "image of shape (33, 1)",
    "33 images",
    "image of a length beyond the end",
    "threshold nan",
    "threshold inf",
    "img_size (2049, 32)",
    "an id of 8 MB",
    "a region that nobody has",
    "a PNG of 8000x8000",
    "a PNG of 2^31-1",
    "a WebP of 16383x16383",
    "a BMP of 30000x30000",
    "a path",
    "an SVG that asks for a file",
}
"""What must not be computed."""
