"""What an encoded image says of itself, read without decoding: format, size, orientation, whether all of it is there.

The server and the SDK each have a copy of this folder, byte for byte the same (a contract test), so that both turn,
take and refuse the same files. It needs nothing but Python.

Orientation: the EXIF one if it is valid (1 to 8), else that of XMP's tiff:Orientation, else upright.

Cut files: what browsers show is taken, and said. A JPEG, PNG or BMP is taken if about a hundredth of it is there, a
WebP if its pixels are whole; the rest of the picture is grey or black.
"""

from __future__ import annotations

from . import bmp, jpeg, png, webp
from .header import CUT_OFF, CUT_OFF_REFUSED, ImageFileError, ImageHeader, undecodable
from .names import FORMAT_NAMES, FORMATS, describe, format_of
from .orientation import EXIF_ORIENTATION, SIDEWAYS, UPRIGHT

__all__ = [
    "CUT_OFF",
    "CUT_OFF_REFUSED",
    "EXIF_ORIENTATION",
    "FORMATS",
    "FORMAT_NAMES",
    "SIDEWAYS",
    "UPRIGHT",
    "ImageFileError",
    "ImageHeader",
    "decodable",
    "describe",
    "format_of",
    "read_header",
    "undecodable",
]

READ_HEADER = {
    "JPEG": jpeg.read_header,
    "PNG": png.read_header,
    "BMP": bmp.read_header,
    "WEBP": webp.read_header,
}
DECODABLE = {"JPEG": jpeg.decodable, "PNG": png.decodable, "BMP": bmp.decodable, "WEBP": webp.decodable}


def read_header(encoded: bytes) -> ImageHeader:
    """Format, size, orientation, and whether the file is cut off.

    Raises:
        ImageFileError: empty, not one of FORMATS, or with a damaged header.
    """
    if not encoded:
        raise ImageFileError(f"the image is empty (0 bytes); send an encoded {FORMAT_NAMES} file")
    name = format_of(encoded)
    if name not in READ_HEADER:
        raise ImageFileError(f"not a {FORMAT_NAMES} image, but {describe(encoded)}")
    return READ_HEADER[name](encoded)


def decodable(encoded: bytes, header: ImageHeader) -> bytes:
    """The file as decoders take it: a cut one closed, a PNG without the chunks that no pixel needs.

    Raises:
        ImageFileError: nearly nothing of the picture is there.
    """
    return DECODABLE[header.format](encoded, header)
