"""One process of the fuzzer: `python -m tests.fuzz.target` with libFuzzer's arguments."""

from __future__ import annotations

import sys
import zlib

import atheris

with atheris.instrument_imports(include=["tritonface_server.image_file", "tritonface_server.images"]):
    from tests.fuzz import rules

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def mutate(encoded: bytes, max_bytes: int, seed: int) -> bytes:
    """libFuzzer's own mutation; three times of four a PNG gets the right checksums, or all would be refused."""
    mutated = atheris.Mutate(encoded, max_bytes)
    return with_right_checksums(mutated) if seed % 4 and mutated.startswith(PNG_SIGNATURE) else mutated


def with_right_checksums(png: bytes) -> bytes:
    """A PNG whose whole chunks have the checksums that are due."""
    mended, at = bytearray(png), len(PNG_SIGNATURE)
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            break
        mended[end : end + 4] = zlib.crc32(png[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(mended)


def one_input(encoded: bytes) -> None:
    """What libFuzzer calls."""
    rules.check(encoded)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=mutate)
    atheris.Fuzz()
