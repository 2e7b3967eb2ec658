"""Shared by the tests of trainings in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dataset import draw_faces_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Its pictures may be damaged by a test."""
    return draw_faces_dataset(tmp_path / "faces", count=4)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What a training says."""
    with caplog.at_level(logging.INFO, "training"):
        yield caplog
