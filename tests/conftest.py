"""Shared by all tests: the demo photos and real Triton servers.

A test that only sends requests asks for `server`, or `address` and `model` for both protocols: the project's models,
started once for the whole run. A test that needs other settings asks for `serve`:

    def test_it(serve: Serve, one_detector: Path) -> None:
        server = serve(one_detector, "--log-verbose=1")  # a repository, then arguments of tritonserver

The first call in a file starts that server, later ones get the same, and it stops after the file's last test. What
stops a server, or changes its repository, starts a `TritonServer` of its own, on a `copy_one_detector(folder)`. These
servers are those for one CPU, and `undrained` where their end is not what is tested: three files share two cores.

`make test` runs three files at a time, in the order of `pytest_collection_modifyitems`; `make test-fast` leaves out
what has the mark `server`, which every test gets that asks for one of these.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.shipped import copy_one_detector
from training.paths import MODEL_REPOSITORY, ROOT
from tritonface import FaceDetector, create_model
from tritonface_server.access import Access
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer, undrained

PHOTOS = ROOT / "demo" / "photos"
FOLDERS = ("deploy", "functional", "parity", "unit/training/engine", "unit/training", "contract", "unit")
"""Those whose files take longest first."""
WAITING = FOLDERS[:2]
"""Their tests wait for servers half of the time; the others compute."""
Serve = Callable[..., TritonServer]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have no garbage searched among thousands of tests and all of Paddle, which stay to the end of the run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server; after each two files that wait put one that computes, so that no core is idle."""
    files: dict[Path, list[pytest.Item]] = {}
    sharing = set()
    for item in items:
        files.setdefault(item.path, []).append(item)
        if {"server", "serve"} & set(item.fixturenames):
            item.add_marker(pytest.mark.server)
            sharing.add(item.path)
    order = sorted(files, key=lambda path: (place_of(path), path in sharing))  # starting servers of one's own is slower
    waiting = [path for path in order if place_of(path) < len(WAITING)]
    computing = [path for path in order if path not in waiting]
    for place, path in enumerate(computing[: len(waiting) // 2]):
        waiting.insert(3 * place + 2, path)
    items[:] = [item for path in dict.fromkeys([*waiting, *computing]) for item in files[path]]


def place_of(file: Path) -> int:
    """Of its folder among `FOLDERS`."""
    tests = Path(__file__).parent
    return next((i for i, folder in enumerate(FOLDERS) if tests / folder in file.parents), len(FOLDERS))


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
    """The repository's models on free loopback ports; it lists them to everybody."""
    log = tmp_path_factory.mktemp("triton") / "tritonserver.log"
    access = Access(open_apis=("model-repository",))
    with undrained(TritonServer(MODEL_REPOSITORY, Endpoints.free(), log=log, cpus=1, access=access)) as running:
        yield running


@pytest.fixture(scope="session")
def one_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with BlazeFace alone, which starts faster; read only."""
    return copy_one_detector(tmp_path_factory.mktemp("one_detector") / "models")


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve(repository, *arguments)`: a server with these settings, the same one whenever they are the same."""
    with ExitStack() as stack:

        @cache
        def serve(repository: Path, *arguments: str, access: Access | None = None) -> TritonServer:
            log = tmp_path_factory.mktemp("triton") / "tritonserver.log"
            server = TritonServer(repository, Endpoints.free(), log, arguments, cpus=1, access=access)
            return stack.enter_context(undrained(server))

        yield serve


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
