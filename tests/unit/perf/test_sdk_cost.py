"""The time of an import is read from what Python says."""

from __future__ import annotations

from pathlib import Path

from perf.sdk_cost import import_s, write_inputs


def test_an_import_is_timed() -> None:
    assert 0 < import_s() < 600


def test_what_is_sent(tmp_path: Path) -> None:
    file, array = write_inputs(tmp_path)
    assert file.stat().st_size > 400_000 and array.shape == (720, 1280, 3) and array.flags["C_CONTIGUOUS"]
