"""What decoding promises for any bytes: a picture or an ImageError, within a second of a core and 300 MB."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np

from tritonface_server.images import ImageError, OpenedImage, decode, open_image, size_wh_of
from tritonface_server.limits import MAX_WHOLE_PIXELS

FINDINGS = Path(__file__).parent / "corpus"
"""Inputs that broke a rule once; tests/contract/test_fuzz.py holds them to the rules."""
MAX_CPU_S = 1.0
MAX_GROWTH_BYTES = 300_000_000
MAX_MESSAGE_LENGTH = 300
NETWORK_WH = (64, 48)
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class BrokenRuleError(AssertionError):
    """Decoding did what it must not do."""


def check(encoded: bytes, max_cpu_s: float = MAX_CPU_S) -> bool:
    """Whether the server takes it.

    Raises:
        BrokenRuleError: a rule does not hold; what else is raised is broken as well.
    """
    before_bytes, before_s = _reset_peak_bytes(), time.process_time()
    taken = _opens_and_decodes(encoded)
    spent_s, grown_bytes = time.process_time() - before_s, _peak_bytes() - before_bytes
    if spent_s > max_cpu_s:
        raise BrokenRuleError(f"{spent_s:.2f} s of a core, {max_cpu_s:g} are allowed")
    if grown_bytes > MAX_GROWTH_BYTES:
        raise BrokenRuleError(f"{grown_bytes:,} bytes of memory, {MAX_GROWTH_BYTES:,} are allowed")
    return taken


def _opens_and_decodes(encoded: bytes) -> bool:
    try:
        opened = open_image(encoded)
        _check_strict(encoded, opened)
        picture = decode(opened, bounded=True)
    except ImageError as error:
        _check_message(str(error))
        return False
    parts = 2 if math.prod(opened.header.stored_wh) > MAX_WHOLE_PIXELS else 1
    expected_wh = tuple(-(-side // parts) for side in opened.header.upright_wh)
    if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or size_wh_of(picture) != expected_wh:
        raise BrokenRuleError(f"a picture {picture.dtype} {picture.shape}, its header says {opened.header}")
    if opened.header.format == "JPEG" and picture.size < 1_000_000:
        _check_scaled(opened)
    return True


def _check_strict(encoded: bytes, opened: OpenedImage) -> None:
    """What is not cut off is taken strictly as well, and with the same header."""
    try:
        strict = open_image(encoded, strict=True)
    except ImageError:
        strict = None
    if (strict is None) != opened.header.cut_off or (strict and strict.header != opened.header):
        raise BrokenRuleError(f"cut_off is {opened.header.cut_off}, but strict reading gives {strict and 'a picture'}")


def _check_scaled(opened: OpenedImage) -> None:
    """Scaled decoding takes what decoding takes."""
    picture = decode(opened, NETWORK_WH)
    least_wh = [min(sides) for sides in zip(NETWORK_WH, opened.header.upright_wh)]
    if any(side < least for side, least in zip(size_wh_of(picture), least_wh)):
        raise BrokenRuleError(f"scaled to {picture.shape}, {NETWORK_WH} were wanted")


def _check_message(message: str) -> None:
    """It is for people: one short line, nothing of our own sources."""
    if not message.isprintable() or len(message) > MAX_MESSAGE_LENGTH or "Traceback" in message or ".py" in message:
        raise BrokenRuleError(f"the message {message!r}")


def _reset_peak_bytes() -> int:
    """What the process has in memory, from which its peak counts from now on."""
    CLEAR_REFS.write_text("5")
    return _peak_bytes()


def _peak_bytes() -> int:
    status = STATUS.read_text()
    return int(status[status.index("VmHWM:") + 6 :].split(None, 1)[0]) * 1024
