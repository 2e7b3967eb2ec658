"""Shared by all tests: the demo photos and one real Triton server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from training.paths import MODEL_REPOSITORY, ROOT
from tritonface import FaceDetector, create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

PHOTOS = ROOT / "demo" / "photos"


@pytest.fixture
def solvay() -> Path:
    """29 faces, grey, 960x600 px."""
    return PHOTOS / "solvay_1927.jpg"


@pytest.fixture
def astronaut() -> Path:
    """One face, 512x512 px."""
    return PHOTOS / "astronaut.jpg"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """The repository's models on free loopback ports."""
    log = tmp_path_factory.mktemp("triton") / "tritonserver.log"
    with TritonServer(MODEL_REPOSITORY, Endpoints.free(), log=log) as running:
        yield running


@pytest.fixture(params=["grpc", "http"])
def address(request: pytest.FixtureRequest, server: TritonServer) -> dict[str, str]:
    """`url` and `protocol` of the server, once for each protocol."""
    return {"protocol": request.param, "url": getattr(server.endpoints, request.param)}


@pytest.fixture
def model(address: dict[str, str]) -> Iterator[FaceDetector]:
    """BlazeFace over each protocol."""
    with create_model("BlazeFace", **address) as detector:
        yield detector


class WatchedList(list):
    """A list that notes what was taken out of it."""

    def __init__(self, items: Iterable[Any]) -> None:
        super().__init__(items)
        self.taken: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            self.taken.append(item)
            yield item
