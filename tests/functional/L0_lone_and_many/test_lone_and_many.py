"""A lone caller's requests get all cores, those of many one core each: a copy loads the form that suits them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tritonface import FaceDetector, create_model
from tritonface_server.cpus import usable_cpus
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer, undrained

CALLERS = 8
MOST_REQUESTS = 400


@pytest.fixture(scope="module")
def server(one_detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """One with two copies of each network, of which nobody else asks anything."""
    log = tmp_path_factory.mktemp("two") / "tritonserver.log"
    with undrained(TritonServer(one_detector, Endpoints.free(), log, cpus=2)) as running:
        yield running


def threads(server: TritonServer, step: str) -> int:
    """Of all its processes; a pool for one thread has none of its own."""
    return sum(psutil.Process(stub.pid).num_threads() for stub in server.stubs() if stub.model == step)


def ask_until(holds: Callable[[], bool], model: FaceDetector, photo: Path, callers: int) -> bool:
    """Whether it comes true while so many ask."""
    for _ in range(MOST_REQUESTS // callers):
        list(model.predict([photo] * callers, batch_size=callers))
        if holds():
            return True
    return False


@pytest.mark.parametrize("step", ["BlazeFace_detector", "640x640_cubic_preprocess"])
def test_the_threads_follow_the_load(server: TritonServer, astronaut: Path, step: str) -> None:
    if usable_cpus() == 1 and step.endswith("preprocess"):
        pytest.skip("it has one thread on one CPU")
    with create_model("BlazeFace", url=server.endpoints.grpc) as model:
        list(model.predict([astronaut] * 6 * CALLERS, batch_size=CALLERS))
        of_many = threads(server, step)
        assert ask_until(lambda: threads(server, step) > of_many, model, astronaut, callers=1)
        assert ask_until(lambda: threads(server, step) <= of_many, model, astronaut, CALLERS)


@pytest.mark.parametrize("use_hpip", [False, True])
def test_both_forms_find_the_same(server: TritonServer, astronaut: Path, use_hpip: bool) -> None:
    with create_model("BlazeFace", url=server.endpoints.grpc, use_hpip=use_hpip) as model:
        alone = list(model.predict([astronaut] * 40))
        of_many = list(model.predict([astronaut] * 80, batch_size=CALLERS))
    for result in (*alone, *of_many):
        (box,), (expected,) = result["boxes"], alone[0]["boxes"]
        assert box["coordinate"] == pytest.approx(expected["coordinate"], abs=0.5 if use_hpip else 0.01)
        assert box["score"] == pytest.approx(expected["score"], abs=0.01 if use_hpip else 1e-4)
