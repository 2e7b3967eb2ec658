"""Formats told by their first bytes, and what to do about those that are not taken."""

from __future__ import annotations

import re

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
FORMAT_NAMES = "JPEG, PNG, BMP or WebP"

CONVERT = f"convert it to {FORMAT_NAMES}"
TEXT = "send the bytes of the picture instead"
SDK = f"{CONVERT}, or let the Python SDK read it"
"""Remedies."""

KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (rb"\xff\xd8\xff", "JPEG", ""),
    (rb"\x89PNG\r\n\x1a\n", "PNG", ""),
    (rb"BM", "BMP", ""),
    (rb"RIFF....WEBP", "WEBP", ""),
    (rb"GIF8[79]a", "GIF", SDK),
    (rb"....ftypavi[fs]", "AVIF", SDK),
    (rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC", SDK),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "TIFF", SDK),
    (rb"P[1-7fF][\s#]", "PNM", SDK),
    (rb"\x59\xa6\x6a\x95", "Sun raster", SDK),
    (rb"\x28\0\0\0....", "DIB", SDK),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL", CONVERT),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000", CONVERT),
    (rb"8BPS", "Photoshop", CONVERT),
    (rb"\0\0[\x01\x02]\0", "ICO", CONVERT),
    (rb"....ftyp|\x1aE\xdf\xa3", "video", "send single frames"),
    (rb"%PDF", "PDF", "render its pages first"),
    (rb"PK\x03\x04|\x1f\x8b", "ZIP or gzip archive", "unpack it first"),
    (rb"version https://git-lfs", "Git LFS pointer", "fetch the file with `git lfs pull`"),
    (rb"data:", "data: URL", f"it is text; {TEXT}"),
    (rb"/9j/|iVBORw0K|UklGR|Qk[0-3]|R0lGOD", "base64 text of a picture", f"decode it and {TEXT}"),
    (rb"(?i)\s*(<!--.*?-->\s*)?(<!doctype html|<html|<head|<body)", "HTML page", f"often an error page; {TEXT}"),
    (rb"(?i)\s*(<\?xml[^>]*>\s*)?<svg", "SVG", f"render it to {FORMAT_NAMES} first"),
    (rb"\s*[{\[]", "JSON text", TEXT),
)
"""Pattern at the beginning of the file, name, remedy."""

_PATTERNS = tuple((re.compile(pattern, re.DOTALL), name, remedy) for pattern, name, remedy in KNOWN)
LOOKED_AT_BYTES = 512


def format_of(encoded: bytes) -> str | None:
    """The format's name by the file's first bytes, whatever the file is called; None for an unknown one."""
    known = _match(encoded)
    return known[0] if known else None


def describe(encoded: bytes) -> str:
    """Format and remedy for a file that is not taken, or its first bytes."""
    known = _match(encoded)
    return f"{known[0]}; {known[1]}" if known else f"something else (first bytes {encoded[:8]!r})"


def _match(encoded: bytes) -> tuple[str, str] | None:
    head = encoded[:LOOKED_AT_BYTES].removeprefix(b"\xef\xbb\xbf")
    return next(((name, remedy) for pattern, name, remedy in _PATTERNS if pattern.match(head)), None)
