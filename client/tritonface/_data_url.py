"""Images inside of `data:` URLs, as web pages hold them: data:image/png;base64,iVBOR..."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from tritonface._errors import ImageError
from tritonface._limits import MAX_ENCODED_BYTES

LONGEST = 3 * MAX_ENCODED_BYTES
"""Characters of the longest way to write so many bytes: each one percent-encoded."""
TOO_LARGE = f"it holds more than the limit of {MAX_ENCODED_BYTES:,} bytes; send a smaller image"


def is_data_url(value: str) -> bool:
    """Whether a text begins like a data URL."""
    return value[:5].lower() == "data:"


def decode_data_url(url: str) -> bytes:
    """The bytes of a data URL, whatever type it claims; never more than the limit.

    Raises:
        ImageError: too large, or no data URL.
    """
    kind, comma, body = url.partition(",")
    if not comma:
        raise ImageError("it has no comma; a data URL is data:image/jpeg;base64,<data>")
    if len(body) > LONGEST:
        raise ImageError(TOO_LARGE)
    data = unquote_to_bytes(body)
    if kind.lower().endswith(";base64"):
        data = _from_base64(data)
    if len(data) > MAX_ENCODED_BYTES:
        raise ImageError(TOO_LARGE)
    return data


def _from_base64(text: bytes) -> bytes:
    digits = re.sub(rb"[\s=]", b"", text)
    if len(digits) > MAX_ENCODED_BYTES * 4 // 3 + 2:
        raise ImageError(TOO_LARGE)
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error as error:
        raise ImageError(f"its data are not base64: {error}") from error
