"""JPEGs that are decoded at a fraction of their size: which ones, and what comes out."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from perf.photos import TYPICAL_MEGAPIXELS, photo
from tests.conftest import PHOTOS
from tests.shipped import SHIPPED, shipped
from tritonface_server.images import decode, decode_image, decode_stored, fit, open_image, resize, size_wh_of

COLOURS = cv2.imread(str(PHOTOS / "astronaut.jpg"))
NETWORK_WH = (64, 48)
MEAN_DIFFERENCE, DIFFERENCE_OF_99_PERCENT = 2.0, 24.0
"""Between a photo decoded at a fraction and one that is averaged after it was decoded whole: edges ring differently,
and the colours of 4:2:2 lie a little beside themselves."""
LEFT_RIGHT, TOP_BOTTOM = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM
STORED_BY = {
    1: (),
    2: (LEFT_RIGHT,),
    3: (LEFT_RIGHT, TOP_BOTTOM),
    4: (TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}
"""From upright to stored, for each EXIF orientation."""
KINDS = {
    "4:2:0": {"subsampling": 2},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "restart markers": {"restart_marker_blocks": 5},
}


def jpeg(size_wh: tuple[int, int], orientation: int = 1, mode: str = "RGB", **options: Any) -> bytes:
    """The photo stretched until it has this size when it is upright."""
    picture = cv2.resize(COLOURS, size_wh, interpolation=cv2.INTER_CUBIC)
    stored = picture.swapaxes(0, 1) if orientation >= 5 else picture
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(stored[:, :, ::-1].copy()).convert(mode)
    image.save(buffer, "JPEG", **{"exif": exif, "quality": 92, **options})
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_from_which_size_on(reduction: int, orientation: int) -> None:
    width, height = (reduction * side_px for side_px in NETWORK_WH)
    sizes_wh = {
        (width, height): reduction,
        (width + 1, height + 1): reduction,
        (width - 1, height): reduction // 2,
        (width, height - 1): reduction // 2,
        (8 * width, height - 1): reduction // 2,  # both sides count
    }
    for size_wh, expected in sizes_wh.items():
        opened = open_image(jpeg(size_wh, orientation))
        assert opened.header.upright_wh == size_wh
        decoded = decode(opened, NETWORK_WH)
        assert size_wh_of(decoded) == tuple(-(-side_px // expected) for side_px in size_wh)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_every_kind_of_jpeg_shows_the_same_picture(kind: str, reduction: int) -> None:
    encoded = jpeg((reduction * 96, reduction * 96), **KINDS[kind])
    whole, scaled = decode_image(encoded), decode(open_image(encoded), (96, 96))
    assert whole.shape[0] == reduction * scaled.shape[0]
    averaged = cv2.resize(whole, size_wh_of(scaled), interpolation=cv2.INTER_AREA)
    difference = np.abs(scaled.astype(int) - averaged)
    assert difference.mean() <= MEAN_DIFFERENCE and np.percentile(difference, 99) <= DIFFERENCE_OF_99_PERCENT


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright_in_every_orientation(orientation: int) -> None:
    opened = open_image(jpeg((192, 144), orientation))
    averaged = cv2.resize(decode(opened), (96, 72), interpolation=cv2.INTER_AREA)
    assert np.abs(decode(opened, (96, 72)).astype(int) - averaged).mean() <= MEAN_DIFFERENCE


@pytest.mark.parametrize("kind", KINDS)
def test_smaller_ones_have_the_very_pixels(kind: str) -> None:
    encoded = jpeg((2 * NETWORK_WH[0] - 1, 200), **KINDS[kind])
    np.testing.assert_array_equal(decode(open_image(encoded), NETWORK_WH), decode_image(encoded))


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "WEBP"])
def test_other_formats_are_decoded_whole(image_format: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(COLOURS[:, :, ::-1].copy()).save(buffer, image_format)
    np.testing.assert_array_equal(decode(open_image(buffer.getvalue()), (32, 32)), decode_image(buffer.getvalue()))


@pytest.mark.parametrize("name", SHIPPED)
def test_usual_photos_stay_as_they_are(name: str) -> None:
    network_wh = shipped(name).input_size_wh
    for encoded in (*(file.read_bytes() for file in PHOTOS.glob("*.jpg")), photo(TYPICAL_MEGAPIXELS)):
        np.testing.assert_array_equal(decode(open_image(encoded), network_wh), decode_image(encoded))


@pytest.mark.fault("A4")
def test_a_photo_that_is_cut_off_is_read_at_any_scale() -> None:
    encoded = jpeg((800, 600))
    opened = open_image(encoded[: len(encoded) // 2])
    assert opened.header.cut_off
    for network_wh, width in (((32, 32), 100), ((300, 301), 800), ((300, 300), 400), (None, 800)):
        assert decode(opened, network_wh).shape[1] == width


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_sides_that_do_not_divide_move_nothing(reduction: int, orientation: int) -> None:
    """A stripe that begins near the end, where it moves most, begins there in the network's picture as well."""
    for remainder in range(1, reduction):
        side_px = reduction * 66 + remainder
        upright = np.full((side_px, side_px), 255, np.uint8)
        upright[:, side_px - 60 :] = 0
        opened = open_image(grey_jpeg(upright, orientation))
        picture = np.empty((64, 64, 3), np.uint8)
        fit(decode_stored(opened, (64, 64)), opened.header, (64, 64), "linear", picture)
        begin_px = picture[32, :, 0].sum() / 255
        assert begin_px == pytest.approx((side_px - 60) * 64 / side_px, abs=0.1)


def grey_jpeg(upright: np.ndarray, orientation: int) -> bytes:
    """A file that shows this when it is turned upright."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(upright)
    for transposition in STORED_BY[orientation]:
        stored = stored.transpose(transposition)
    stored.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_decoded_whole_is_turned_and_stretched_as_ever(orientation: int, interpolation: str) -> None:
    opened = open_image(jpeg((101, 75), orientation))
    picture = np.empty((48, 64, 3), np.uint8)
    fit(decode_stored(opened, NETWORK_WH), opened.header, NETWORK_WH, interpolation, picture)
    np.testing.assert_array_equal(picture, resize(decode_image(opened.decodable), NETWORK_WH, interpolation))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sides_that_divide_are_stretched_as_ever(orientation: int) -> None:
    opened = open_image(jpeg((800, 600), orientation))
    picture = np.empty((48, 64, 3), np.uint8)
    fit(decode_stored(opened, NETWORK_WH), opened.header, NETWORK_WH, "linear", picture)
    expected = resize(decode(opened, NETWORK_WH), NETWORK_WH, "linear")
    assert np.abs(picture.astype(int) - expected).max() <= 2  # turned before or after
