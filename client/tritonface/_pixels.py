"""Pillow's pictures of any mode as 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from tritonface._errors import ImageError

TIFF_BITS, TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
TAKEN = "whole numbers from 0 to 255 or to 65535, and fractions from 0 to 1 or to 255"


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture as RGB, without its transparency.

    Greys of 16 bits become 8 by their higher byte, as in PNG. Those of 32 bits, which say nothing of their range, are
    taken as 8-bit ones up to 255 and as 16-bit ones up to 65535; fractions as 0 to 1, or 0 to 255 if they go beyond 1.

    Raises:
        ImageError: greys outside these ranges.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_grey(image)).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        return image.convert("RGB") if converted is None else converted
    return image.convert("RGB")


def _grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    values: npt.NDArray[Any] = np.asarray(image)
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):  # PPM's are scaled to 16 bits by Pillow
        return _sixteen_bits(image, values)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= (255 if image.mode == "F" else 65535)):  # NaN fails both
        raise ImageError(f"the image has greys from {low:g} to {high:g}; {TAKEN} are read, so scale them first")
    if image.mode == "F":
        values = np.rint(values * 255 if high <= 1 else values)
    elif high > 255:
        values = values >> 8
    return values.astype(np.uint8, copy=False)


def _sixteen_bits(image: Image.Image, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    tags = getattr(image, "tag_v2", {})  # of a TIFF, whose greys may have 12 bits, or begin with white
    bits = tags.get(TIFF_BITS, (16,))[0]
    grey: npt.NDArray[np.uint8] = (values >> (bits - 8)).astype(np.uint8)
    return np.invert(grey) if tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO else grey
