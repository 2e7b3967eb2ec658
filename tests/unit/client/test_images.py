"""Encoded images on the client: limits, conversions, arrays, shrinking."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonface import ImageError, _limits
from tritonface._images import encode_array, open_image, open_upright, read_file, sendable, shrink
from tritonface_server import limits
from tritonface_server.image_file import read_header
from tritonface_server.images import decode_image


def encoded(size: tuple[int, int], name: str, orientation: int | None = None, mode: str = "RGB") -> bytes:
    image = Image.effect_noise(size, 60).convert(mode)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, name, **({"exif": exif} if orientation else {}))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["MAX_ENCODED_BYTES", "MAX_PIXELS", "MAX_SIDE_PX"])
def test_the_limits_are_the_servers(name: str) -> None:
    assert getattr(_limits, name) == getattr(limits, name)


def test_no_file_is_read_beyond_the_limit(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert read_file(tmp_path / "empty") == b""
    with pytest.raises(ImageError, match="larger than the limit of 67,108,864 bytes"):
        read_file(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.empty((0, 4, 3), np.uint8), r"shape \[0, 4, 3\]"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \[4, 4, 4\]"),
        (np.zeros(4, np.uint8), r"shape \[4\]"),
        (np.zeros((4, 4, 3), np.float32), "dtype float32"),
        (np.zeros((1, 32_769), np.uint8), "32769x1 pixels"),
        (np.zeros((8001, 8000), np.uint8), "8000x8001 pixels, the limit is 64,000,000"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        encode_array(array)


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (3, 5, 3), (64, 30, 3), (64, 31, 3), (64, 32, 3), (2, 1080, 3), (3, 5), (40, 33)]
)
def test_arrays_arrive_as_they_are(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    arrived = decode_image(encode_array(array))
    assert np.array_equal(arrived, array if array.ndim == 3 else np.repeat(array[:, :, None], 3, 2))
    assert np.array_equal(np.asarray(open_upright(encode_array(array)))[:, :, ::-1], arrived)
    turned = np.asarray(array.swapaxes(0, 1))[::-1]  # not contiguous
    assert np.array_equal(decode_image(encode_array(turned)), np.asarray(arrived.swapaxes(0, 1))[::-1])


def test_an_array_too_large_for_bmp_travels_as_png() -> None:
    array = np.zeros((4800, 4700, 3), np.uint8)  # 67.7 MB as BMP
    data = encode_array(array)
    assert read_header(data)[:2] == ("PNG", (4700, 4800))


@pytest.mark.fault("A8")
@pytest.mark.parametrize("name", ["JPEG", "PNG", "BMP", "WEBP"])
def test_files_the_server_reads_travel_as_they_are(name: str) -> None:
    data = encoded((5, 3), name)
    assert sendable(data) is data


def test_files_of_no_known_format_travel_to_be_named_by_the_server() -> None:
    assert sendable(b"anything") == b"anything" and sendable(b"") == b""


@pytest.mark.fault("A8")
@pytest.mark.parametrize("name", ["TIFF", "PPM", "GIF", "DIB", "AVIF"])
def test_other_files_are_converted_by_their_content(name: str) -> None:
    data = encoded((64, 32), name)
    read = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(decode_image(sendable(data))[:, :, ::-1], read)


@pytest.mark.parametrize("data", [b"", b"text", encoded((64, 64), "JPEG")[:300]])
def test_what_cannot_be_decoded(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"empty|not a JPEG|damaged"):
        open_upright(data)


def test_nothing_large_is_decoded() -> None:
    bmp = bytearray(encoded((5, 3), "BMP"))
    bmp[18:26] = (100_000).to_bytes(4, "little") * 2
    for function, data in (
        (open_upright, bytes(bmp)),
        (open_image, bytes(bmp)),
        (sendable, b"P6\n9000 9000\n255\n" + bytes(100)),
        (sendable, b"P6\n100000 100000\n255\n" + bytes(100)),
    ):
        with pytest.raises(ImageError, match=r"pixels.*64,000,000|64,000,000 pixels"):
            function(data)


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_the_upright_size(orientation: int | None) -> None:
    data = encoded((40, 20), "JPEG", orientation)
    assert open_image(data).header.upright_wh == open_upright(data).size == decode_image(data).shape[1::-1]


def test_small_images_are_not_shrunk() -> None:
    data = encoded((40, 20), "PNG")
    payload = shrink(data, 40)
    assert payload.sent is data and payload.scale_xy == (1, 1)


@pytest.mark.parametrize(
    ("size", "name", "orientation", "expected"),
    [
        ((400, 200), "PNG", None, (100, 50)),
        ((200, 400), "JPEG", None, (50, 100)),
        ((400, 200), "JPEG", 6, (50, 100)),
        ((1000, 3), "PNG", None, (100, 1)),
        ((3000, 2000), "JPEG", None, (100, 67)),
    ],
)
def test_shrinking(size: tuple[int, int], name: str, orientation: int | None, expected: tuple[int, int]) -> None:
    data = encoded(size, name, orientation)
    payload = shrink(data, 100)
    assert read_header(payload.sent)[:2] == ("JPEG", expected)
    assert payload.original is data
    upright = open_image(data).header.upright_wh
    assert payload.scale_xy == (upright[0] / expected[0], upright[1] / expected[1])


def test_sixteen_bits_are_read_as_the_server_does() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)).save(buffer, "PNG")
    picture = np.asarray(open_upright(buffer.getvalue()))
    assert np.array_equal(picture[:, :, ::-1], decode_image(buffer.getvalue()))
