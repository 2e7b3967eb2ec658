from __future__ import annotations

import io
import math
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tritonface_server import image_file, limits
from tritonface_server.images import (
    ImageError,
    SizeError,
    check_network_size,
    decode,
    decode_image,
    open_image,
    resize,
)

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
SMOOTH = cv2.resize(PICTURE[:4, :6], (60, 40), interpolation=cv2.INTER_CUBIC)


def encode(image_format: str, picture: np.ndarray = PICTURE, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture[:, :, ::-1].copy()).save(buffer, image_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG file, as far as its first pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def flat_jpeg(width: int, height: int, mode: str = "L", orientation: int = 1, **options: Any) -> bytes:
    """One colour, so that large ones are made quickly."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new(mode, (width, height)).save(buffer, "JPEG", exif=exif, **options)
    return buffer.getvalue()


def test_nothing() -> None:
    with pytest.raises(ImageError, match="empty"):
        decode_image(b"")


@pytest.mark.parametrize("image_format", ["PNG", "BMP"])
def test_lossless_formats_give_the_very_pixels(image_format: str) -> None:
    np.testing.assert_array_equal(decode_image(encode(image_format)), PICTURE)


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(image_format: str) -> None:
    decoded = decode_image(encode(image_format, SMOOTH, quality=95))
    assert np.abs(decoded.astype(int) - SMOOTH).mean() < 6


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_colour_mode_becomes_bgr(mode: str) -> None:
    buffer = io.BytesIO()
    image = Image.fromarray(SMOOTH[:, :, ::-1].copy()).convert(mode)
    image.save(buffer, "JPEG" if mode == "CMYK" else "PNG", **({"quality": 95} if mode == "CMYK" else {}))
    difference = np.abs(decode_image(buffer.getvalue()).astype(int) - np.asarray(image.convert("RGB"))[:, :, ::-1])
    assert difference.mean() < 6 if mode == "CMYK" else not difference.any()


@pytest.mark.parametrize("sixteen_bit", [PICTURE.astype(np.uint16) * 257, PICTURE[:, :, 0].astype(np.uint16) * 257])
def test_sixteen_bits_become_eight(sixteen_bit: np.ndarray) -> None:
    encoded = cv2.imencode(".png", sixteen_bit)[1].tobytes()
    expected = PICTURE if sixteen_bit.ndim == 3 else np.repeat(PICTURE[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(decode_image(encoded), expected)


def test_an_animation_gives_its_first_picture() -> None:
    other = Image.fromarray(255 - PICTURE)
    for image_format, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        encoded = encode(image_format, save_all=True, append_images=[other], **options)
        np.testing.assert_array_equal(decode_image(encoded), PICTURE)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_end_in_a_picture_or_an_error(seed: int) -> None:
    """Random damage, in a process of its own: a decoder that crashes takes its process along."""
    run = subprocess.run([sys.executable, "-m", "tests.unit.server.damage", str(seed)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    pictures, refusals = map(int, run.stdout.split())
    assert pictures > 50 and refusals > 50


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7", b"GIF89a" + bytes(60), b"II*\x00" + bytes(60), bytes(100)])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="not a JPEG, PNG, BMP or WebP image"):
        decode_image(data)


@pytest.mark.parametrize(("width", "height"), [(10_000, 6_401), (32_769, 1), (1, 32_769), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header(width: int, height: int) -> None:
    with pytest.raises(ImageError, match=r"pixels"):
        open_image(png_header(width, height))


@pytest.mark.fault("C19")
@pytest.mark.parametrize(("options", "pixels"), [({}, 64_000_000), ({"progressive": True}, 25_000_000)])
def test_the_limit_itself_is_allowed(options: dict[str, Any], pixels: int) -> None:
    side_px = math.isqrt(pixels)
    assert open_image(flat_jpeg(side_px, side_px, **options)).header.scalable is not bool(options)
    with pytest.raises(ImageError, match=rf"{side_px}x{side_px + 1} pixels, the limit is {pixels:,}") as caught:
        open_image(flat_jpeg(side_px, side_px + 1, **options))
    assert ("not progressive" in str(caught.value)) is bool(options)


@pytest.mark.fault("C19")
def test_a_jpeg_of_several_scans_is_not_scalable() -> None:
    encoded = flat_jpeg(64, 64, "RGB")
    scan_at = encoded.index(b"\xff\xda")
    assert image_file.read_header(encoded).scalable and encoded[scan_at + 4] == 3
    for first_scan in (b"\1" + encoded[scan_at + 5 :], b""):
        assert not image_file.read_header(encoded[: scan_at + 4] + first_scan).scalable


@pytest.mark.fault("C19")
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpegs_are_decoded_at_half_their_size_where_that_is_asked_for(orientation: int) -> None:
    opened = open_image(flat_jpeg(8001, 4001, orientation=orientation))
    sides = (8001, 4001) if orientation == 6 else (4001, 8001)
    assert decode(opened).shape[:2] == sides
    assert decode(opened, bounded=True).shape[:2] == tuple(-(-side // 2) for side in sides)
    small = open_image(flat_jpeg(5000, 5000))
    assert decode(small, bounded=True).shape[:2] == (5000, 5000)


@pytest.mark.fault("C18")
def test_large_pictures_may_have_fewer_scans() -> None:
    encoded = flat_jpeg(5000, 5000, progressive=True)
    last = encoded.rindex(b"\xff\xda")
    scans = encoded.count(b"\xff\xda")
    open_image(encoded[:-2] + encoded[last:-2] * (40 - scans) + b"\xff\xd9")
    with pytest.raises(ImageError, match="more than 40 scans"):
        open_image(encoded[:-2] + encoded[last:-2] * (41 - scans) + b"\xff\xd9")


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(ImageError, match="67,108,864"):
        open_image(bytes(limits.MAX_ENCODED_BYTES + 1))


def test_resize_stretches(solvay: Path) -> None:
    image = decode_image(solvay.read_bytes())
    assert image.shape == (600, 960, 3)
    for name, interpolation in (("cubic", cv2.INTER_CUBIC), ("linear", cv2.INTER_LINEAR)):
        stretched = resize(image, (640, 320), name)
        assert np.array_equal(stretched, cv2.resize(image, (640, 320), interpolation=interpolation))
        assert resize(image, (960, 600), name) is image
    assert not np.array_equal(resize(image, (640, 320), "linear"), resize(image, (640, 320), "cubic"))


@pytest.mark.parametrize("size_wh", [(640, 320), (960, 600)])
def test_resizing_into_an_array(size_wh: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (600, 960, 3), np.uint8)
    pictures = np.full((2, size_wh[1], size_wh[0], 3), 7, np.uint8)
    resize(image, size_wh, "cubic", out=pictures[1])
    assert np.array_equal(pictures[1], resize(image, size_wh, "cubic")) and (pictures[0] == 7).all()


@pytest.mark.parametrize(("size_wh", "multiple"), [((32, 2048), 1), ((33, 97), 1), ((640, 512), 32)])
def test_network_sizes_within_the_limits(size_wh: tuple[int, int], multiple: int) -> None:
    check_network_size(size_wh, multiple)


@pytest.mark.parametrize(("size_wh", "multiple"), [((0, 640), 1), ((640, 31), 1), ((2049, 640), 1), ((640, 500), 32)])
def test_network_sizes_beyond_the_limits(size_wh: tuple[int, int], multiple: int) -> None:
    with pytest.raises(SizeError, match=r"sides from 32 to 2048 px"):
        check_network_size(size_wh, multiple)
