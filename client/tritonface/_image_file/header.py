"""What the readers of the formats share."""

from __future__ import annotations

from typing import NamedTuple

from .orientation import SIDEWAYS

CUT_OFF = "the file is cut off; the part of the picture that is missing is grey or black"
"""The warning for a picture of which the end is missing."""
CUT_OFF_REFUSED = "the file is cut off, and `strict` was asked for"
NEARLY_NOTHING = "nearly nothing of it is there"


class ImageFileError(ValueError):
    """A file that is no image of the accepted formats, or too damaged; the message is written for its sender."""


class ImageHeader(NamedTuple):
    """What an encoded image says of itself.

    Attributes:
        format: "JPEG", "PNG", "BMP" or "WEBP".
        stored_wh: width and height in pixels before any rotation.
        orientation: 1 to 8 as EXIF counts them.
        cut_off: the end of the file is missing.
        scalable: it can be decoded at 1/2, 1/4 or 1/8 without the whole picture, or all its coefficients, in memory.
    """

    format: str
    stored_wh: tuple[int, int]
    orientation: int
    cut_off: bool
    scalable: bool = False

    @property
    def upright_wh(self) -> tuple[int, int]:
        """Width and height in pixels after rotation."""
        width, height = self.stored_wh
        return (height, width) if self.orientation in SIDEWAYS else (width, height)


def damaged(what: str) -> ImageFileError:
    """The error for a file whose structure does not hold."""
    return ImageFileError(f"the image header is damaged: {what}")


def undecodable(header: ImageHeader, why: str = "its data are wrong") -> ImageFileError:
    """The error for a picture that cannot be shown."""
    width, height = header.stored_wh
    return ImageFileError(
        f"the image ({width}x{height} px by its header) cannot be decoded: {why}; the file is truncated or damaged"
    )
