"""Encoded images to network input: limits first, then decode upright, then resize."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import numpy as np

from tritonface_server import image_file
from tritonface_server.image_file import CUT_OFF_REFUSED, SIDEWAYS, ImageFileError, ImageHeader, undecodable
from tritonface_server.limits import (
    MAX_ENCODED_BYTES,
    MAX_NETWORK_SIDE_PX,
    MAX_PIXELS,
    MAX_SIDE_PX,
    MAX_WHOLE_PIXELS,
    MIN_NETWORK_SIDE_PX,
)

# A second wall behind open_image: OpenCV reads its own limit when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
import cv2

READ_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
FLIPS = {1: None, 2: 1, 3: -1, 4: 0, 5: None, 6: 1, 7: -1, 8: 0}  # after a transposition where that turns sides
INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
IMAGE_REFUSED = "image refused: "
"""How the message begins on the wire when the image is at fault; clients tell it from a wrong request by this."""


class ImageError(ValueError):
    """An image the server will not or cannot decode; the message is written for its sender.

    Args:
        reason: one of `tritonface_server.metrics.IMAGE_REASONS`.
    """

    def __init__(self, message: str, reason: str = "undecodable") -> None:
        super().__init__(message)
        self.reason = reason


class SizeError(ValueError):
    """A network input size that the detector does not take."""


class OpenedImage(NamedTuple):
    """An encoded image within the limits: what its header says, and the file as decoders take it."""

    header: ImageHeader
    decodable: bytes


def open_image(encoded: bytes, strict: bool = False) -> OpenedImage:
    """Check an encoded image without decoding it; `header.cut_off` where a part of the picture may be missing.

    Args:
        strict: refuse what is cut off.

    Raises:
        ImageError: empty, too many bytes or pixels, not one of the accepted formats, or nearly nothing of it is there.
    """
    if len(encoded) > MAX_ENCODED_BYTES:
        raise ImageError(
            f"the encoded image has {len(encoded):,} bytes, the limit is {MAX_ENCODED_BYTES:,}; "
            "send a smaller or more strongly compressed image",
            reason="too_large",
        )
    try:
        header = image_file.read_header(encoded)
        width, height = header.stored_wh
        max_pixels = MAX_PIXELS if header.scalable else MAX_WHOLE_PIXELS
        if width * height > max_pixels or max(width, height) > MAX_SIDE_PX:  # before anything is unpacked
            raise ImageError(
                f"the image has {width}x{height} pixels, the limit is {max_pixels:,} in all "
                f"and {MAX_SIDE_PX:,} a side; send a smaller one"
                + ("" if header.scalable else f", or a JPEG that is not progressive (up to {MAX_PIXELS:,})"),
                reason="too_large",
            )
        if strict and header.cut_off:
            raise ImageError(CUT_OFF_REFUSED, reason="cut_off")
        return OpenedImage(header, image_file.decodable(encoded, header))
    except ImageFileError as error:
        raise ImageError(str(error)) from None


def decode_image(encoded: bytes) -> np.ndarray:
    """The upright picture, uint8 [height, width, 3] BGR; transparency is dropped, what is cut off is grey or black.

    Raises:
        ImageError: see `open_image`; also damaged pixel data.
    """
    return decode(open_image(encoded))


def decode(opened: OpenedImage, network_wh: tuple[int, int] | None = None, bounded: bool = False) -> np.ndarray:
    """As `decode_image`; arguments and errors are those of `decode_stored`."""
    return turned(decode_stored(opened, network_wh, bounded), opened.header.orientation)


def decode_stored(opened: OpenedImage, network_wh: tuple[int, int] | None = None, bounded: bool = False) -> np.ndarray:
    """The picture as it is stored, not turned upright, uint8 [height, width, 3] BGR.

    Args:
        network_wh: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, rounded up, as long as both sides still cover
            these, the network's. No detector loses AP by it (`python -m perf.accuracy.scaled`): resizing takes single
            pixels of a large picture, the decoder means of them.
        bounded: one of more than MAX_WHOLE_PIXELS is decoded at 1/2 at most.

    Raises:
        ImageError: damaged pixel data.
    """
    header = opened.header
    reduction = _reduction(header, network_wh) if network_wh else 1
    if bounded and math.prod(header.stored_wh) > MAX_WHOLE_PIXELS:
        reduction = max(reduction, 2)
    flags = READ_FLAGS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(opened.decodable, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None or size_wh_of(image) != tuple(_reduced(side, reduction) for side in header.stored_wh):
        raise ImageError(str(undecodable(header)))
    return image


def size_wh_of(image: np.ndarray) -> tuple[int, int]:
    """(width, height) in pixels of an array [height, width, ...]."""
    height, width = image.shape[:2]
    return width, height


def _reduction(header: ImageHeader, network_wh: tuple[int, int]) -> int:
    """How many times smaller a picture may be decoded for a network with these sides."""
    for reduction in (8, 4, 2) if header.format == "JPEG" else ():
        sides = zip(header.upright_wh, network_wh)
        if all(side_px >= reduction * wanted_px for side_px, wanted_px in sides):
            return reduction
    return 1


def _reduced(side_px: int, reduction: int) -> int:
    return -(-side_px // reduction)


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """The picture upright; `orientation` counts as EXIF does."""
    if orientation in SIDEWAYS:
        image = cv2.transpose(image)
    flip = FLIPS[orientation]
    return image if flip is None else cv2.flip(image, flip)


def check_network_size(size_wh: tuple[int, int], multiple: int) -> None:
    """SizeError unless a network whose sides must be multiples of `multiple` may be fed with this size."""
    for side_px in size_wh:
        if not MIN_NETWORK_SIDE_PX <= side_px <= MAX_NETWORK_SIDE_PX or side_px % multiple:
            raise SizeError(
                f"img_size is {size_wh[0]}x{size_wh[1]} (width x height); this detector takes sides from "
                f"{MIN_NETWORK_SIDE_PX} to {MAX_NETWORK_SIDE_PX} px"
                + (f" that are multiples of {multiple}" if multiple > 1 else "")
            )


def resize(
    image: np.ndarray, size_wh: tuple[int, int], interpolation: str, out: np.ndarray | None = None
) -> np.ndarray:
    """The picture stretched to `size_wh` pixels (aspect ratio not kept), uint8 [height, width, 3].

    It is written into `out` where that is given, a contiguous array of that shape.
    """
    if image.shape[1::-1] != tuple(size_wh):
        return cv2.resize(image, size_wh, dst=out, interpolation=INTERPOLATIONS[interpolation])
    if out is None:
        return image
    out[:] = image
    return out


def fit(stored: np.ndarray, header: ImageHeader, size_wh: tuple[int, int], interpolation: str, out: np.ndarray) -> None:
    """Turn what `decode_stored` gave upright, and stretch it into `out`, a contiguous uint8 [height, width, 3].

    The last column and row of a picture at a fraction of its size may lie in part beyond the photo. That part is not
    shown: boxes would move by half a pixel of the network, which costs small faces .005 of AP.
    """
    if size_wh_of(stored) == header.stored_wh:
        resize(turned(stored, header.orientation), size_wh, interpolation, out)
        return
    width, height = size_wh[::-1] if header.orientation in SIDEWAYS else size_wh
    reduction = round(header.stored_wh[0] / stored.shape[1])
    fx, fy = (reduction * to / side for to, side in zip((width, height), header.stored_wh))
    stretched = cv2.resize(stored, None, fx=fx, fy=fy, interpolation=INTERPOLATIONS[interpolation])
    out[:] = turned(stretched[:height, :width], header.orientation)


def limit_threads(count: int) -> None:
    """How many threads of this process may resize one picture."""
    cv2.setNumThreads(count)
