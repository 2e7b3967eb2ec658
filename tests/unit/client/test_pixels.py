"""Files of every kind of pixels that the SDK converts: the right colours, or a clear error."""

from __future__ import annotations

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from tests.corpus.pieces import PICTURE, encoded, upright
from tritonface import ImageError
from tritonface._images import open_upright, sendable
from tritonface._pixels import to_rgb

GREY = np.asarray(Image.fromarray(PICTURE).convert("L"))
GREY16 = GREY.astype(np.uint16) * 257
LETTERS = {"little": "<", "big": ">"}


def read(data: bytes) -> np.ndarray:
    return np.asarray(open_upright(sendable(data)))


def tiff(array: np.ndarray, sample_format: int, order: str = "little", photometric: int = 1) -> bytes:
    """An uncompressed grey TIFF: uint (1), int (2) or float (3) samples, black (1) or white (0) being zero."""
    letter = LETTERS[order]
    height, width = array.shape
    pixels = array.astype(array.dtype.newbyteorder(letter)).tobytes()
    entries = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, 8 * array.itemsize),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, height),
        (279, 4, len(pixels)),
        (339, 3, sample_format),
    ]
    directory = struct.pack(f"{letter}H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack(f"{letter}HHI{'H2x' if kind == 3 else 'I'}", tag, kind, 1, value)
    mark = b"II*\0" if order == "little" else b"MM\0*"
    return mark + struct.pack(f"{letter}I", 8 + len(pixels)) + pixels + directory + bytes(4)


def pgm(array: np.ndarray, highest: int) -> bytes:
    return b"P5\n%d %d\n%d\n" % (*array.shape[::-1], highest) + array.astype(">u2").tobytes()


GREYS = {
    "pgm of 16 bits": pgm(GREY16, 65535),
    "pgm of 12 bits": pgm(GREY.astype(np.uint16) * 16, 4080),
    "pgm of 16 bits that is black": pgm(GREY16 * 0 + 255, 65535),
    "tiff of 16 bits": tiff(GREY16, 1),
    "tiff of 16 bits, big-endian": tiff(GREY16, 1, "big"),
    "tiff of 16 bits, white is zero": tiff(65535 - GREY16, 1, photometric=0),
    "tiff int32 of 8 bits": tiff(GREY.astype(np.int32), 2),
    "tiff int32 of 16 bits": tiff(GREY16.astype(np.int32), 2),
    "tiff int32 of 16 bits, big-endian": tiff(GREY16.astype(np.int32), 2, "big"),
    "tiff float of 0 to 1": tiff(GREY.astype(np.float32) / 255, 3),
    "tiff float of 0 to 1, big-endian": tiff(GREY.astype(np.float32) / 255, 3, "big"),
    "tiff float of 0 to 255": tiff(GREY.astype(np.float32), 3),
}


@pytest.mark.fault("A5")
@pytest.mark.parametrize("name", GREYS)
def test_greys_are_right(name: str) -> None:
    expected = GREY * 0 if "black" in name else GREY
    assert np.abs(read(GREYS[name]).astype(int) - expected[:, :, None]).max() <= 1


UNCLEAR = {
    "int32 of 24 bits": tiff(GREY.astype(np.int32) * 65793, 2),
    "negative int32": tiff(GREY.astype(np.int32) - 300, 2),
    "float of 0 to 65535": tiff(GREY16.astype(np.float32), 3),
    "negative float": tiff(GREY.astype(np.float32) - 300, 3),
    "float with NaN": tiff(np.where(GREY > 100, np.nan, GREY).astype(np.float32), 3),
    "infinite float": tiff(np.where(GREY > 100, np.inf, GREY).astype(np.float32), 3),
}


@pytest.mark.fault("A5")
@pytest.mark.parametrize("name", UNCLEAR)
def test_greys_of_no_clear_range_are_refused(name: str) -> None:
    with pytest.raises(ImageError, match=r"has greys from .* scale them first"):
        read(UNCLEAR[name])


@pytest.mark.fault("A5")
def test_a_tiff_of_other_samples_is_refused_by_name() -> None:
    with pytest.raises(ImageError, match="this kind of TIFF image is not read"):
        read(tiff(GREY.astype(np.float64), 3))


@pytest.mark.fault("A5")
@pytest.mark.parametrize(
    ("mode", "tolerance"),
    [
        *((mode, 0) for mode in ("RGB", "RGBA", "RGBX", "CMYK")),
        *((mode, 3) for mode in ("YCbCr", "HSV", "LAB")),
        *((mode, None) for mode in ("1", "P", "PA", "L", "LA")),
    ],
)
def test_every_mode_of_pillow_becomes_rgb(mode: str, tolerance: int | None) -> None:
    """None: as grey, or as the palette has it."""
    image = Image.fromarray(PICTURE)
    picture = to_lab(image) if mode == "LAB" else image.convert("P" if mode == "PA" else mode)
    if mode == "PA":
        picture = picture.convert("PA")
    expected = PICTURE if tolerance is not None else np.asarray(picture.convert("RGB"))
    read_back = np.asarray(to_rgb(picture))
    assert np.abs(read_back.astype(int) - expected).max() <= (tolerance or 0)


def to_lab(image: Image.Image) -> Image.Image:
    return ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )


@pytest.mark.fault("A5")
def test_a_palette_with_transparency_loses_only_that() -> None:
    image = Image.fromarray(PICTURE).quantize(8)
    for image_format in ("PNG", "GIF", "TIFF"):
        buffer = io.BytesIO()
        image.save(buffer, image_format, **({} if image_format == "TIFF" else {"transparency": 0}))
        assert np.array_equal(read(buffer.getvalue()), np.asarray(image.convert("RGB"))), image_format


@pytest.mark.fault("A1")
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(orientation: int, compression: str) -> None:
    data = encoded("TIFF", tiffinfo={0x0112: orientation}, compression=compression)
    assert np.array_equal(read(data), upright(orientation))


@pytest.mark.fault("A9")
def test_a_gif_gives_its_first_picture() -> None:
    first, second = Image.fromarray(PICTURE).quantize(8), Image.fromarray(255 - PICTURE).quantize(8)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=[second])
    assert np.array_equal(read(buffer.getvalue()), np.asarray(first.convert("RGB")))


@pytest.mark.fault("A9")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_avif(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded("AVIF", quality=95, exif=exif)
    assert np.abs(read(data).astype(int) - upright(orientation)).mean() < 6
    monkeypatch.setattr("tritonface._images.features.check", lambda _: False)
    with pytest.raises(ImageError, match=r"AVIF image, which Pillow reads from 11\.3 on"):
        read(data)


@pytest.mark.fault("A9")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    large = Image.fromarray(PICTURE).resize((192, 128), Image.Resampling.NEAREST)
    pillow_heif.from_pillow(large).save(buffer, quality=95, exif=exif.tobytes())
    expected = np.asarray(large.resize((48, 32), Image.Resampling.NEAREST))
    picture = Image.fromarray(read(buffer.getvalue()))
    turned = np.asarray(picture.resize((32, 48) if orientation >= 5 else (48, 32), Image.Resampling.NEAREST))
    assert np.abs(turned.astype(int) - upright(orientation, expected)).mean() < 6


@pytest.mark.fault("A9")
def test_heic_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"HEIC image; `pip install 'tritonface\[heif\]'` reads it"):
        sendable(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


@pytest.mark.fault("A9")
@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        b"\0\0\0\x20ftypavif\0\0\0\0avifmif1" + bytes(40),
        encoded("AVIF")[:-100],
        encoded("AVIF")[:-100] + bytes(100),
    ],
)
def test_a_damaged_container_is_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"HEIC|AVIF"):
        sendable(data)
