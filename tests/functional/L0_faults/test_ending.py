"""The launcher ends in a stated time, whatever hangs on its way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.launched import KEY, Launched, eventually, is_there, launched
from tests.shipped import copy_one_detector
from tritonface_server.access import HEADER
from tritonface_server.control import BUSY, Control
from tritonface_server.serve import END_TIMEOUT_S
from tritonface_server.server import DRAIN_TIMEOUT_S

STEP = "BlazeFace_detector"
MARGIN_S = 3
"""For what is killed and tidied up after the waiting."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Launched]:
    with launched(tmp_path, repository=copy_one_detector(tmp_path / "models")) as launcher:
        yield launcher


def told_to_end(launcher: Launched) -> float:
    """When it was told."""
    launcher.process.send_signal(signal.SIGINT)
    return time.monotonic()


def seconds_to_end(launcher: Launched, told_s: float) -> float:
    """Until it has ended, after which nothing of it is left."""
    pids = [launcher.server_pid, *(stub.pid for stub in launcher.stubs())]
    launcher.process.wait(END_TIMEOUT_S + MARGIN_S)
    took_s = time.monotonic() - told_s
    assert not [pid for pid in pids if is_there(pid)]
    return took_s


def is_unloading(launcher: Launched, model: str) -> bool:
    return Control(launcher.endpoints.http, {HEADER: KEY}).states()[model].name in BUSY


@pytest.mark.fault("C4")
@pytest.mark.parametrize("moment", ["before", "while unloading"])
def test_a_process_of_a_model_is_stopped(running: Launched, moment: str) -> None:
    (stub,) = running.stubs(STEP)
    if moment == "before":
        os.kill(stub.pid, signal.SIGSTOP)
    told_s = told_to_end(running)
    assert eventually(lambda: is_unloading(running, STEP))
    os.kill(stub.pid, signal.SIGSTOP)
    assert seconds_to_end(running, told_s) < DRAIN_TIMEOUT_S + MARGIN_S


def stop_the_server(launcher: Launched, moment: str) -> float:
    server, stubs = launcher.server_pid, launcher.stubs()
    if moment == "before":
        os.kill(server, signal.SIGSTOP)
    told_s = told_to_end(launcher)
    if moment == "while unloading":
        assert eventually(lambda: is_unloading(launcher, STEP))
    elif moment == "after unloading":
        assert eventually(lambda: not any(is_there(stub.pid) for stub in stubs if stub.model == STEP))
    os.kill(server, signal.SIGSTOP)
    return seconds_to_end(launcher, told_s)


def load_anew(launcher: Launched, repository: Path) -> float:
    model = "BlazeFace_postprocess"
    (repository / model / "1" / "model.py").write_text("import time\n\ntime.sleep(60)\n")
    os.kill(launcher.stubs(model)[0].pid, signal.SIGKILL)
    launcher.wait_for("loading it anew")
    assert eventually(lambda: launcher.stubs(model))
    return seconds_to_end(launcher, told_to_end(launcher))


MOMENTS = ("before", "while unloading", "after unloading", "while a model is loaded anew")


def seconds_of(moment: str, folder: Path) -> float:
    repository = copy_one_detector(folder / "models")
    with launched(folder, repository=repository) as launcher:
        return load_anew(launcher, repository) if moment == MOMENTS[-1] else stop_the_server(launcher, moment)


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[float]]]:
    """Seconds of endings that wait for ten seconds each; each has a launcher of its own."""
    folders = {moment: tmp_path_factory.mktemp("ending") for moment in MOMENTS}
    with ThreadPoolExecutor(len(folders)) as pool:
        yield {moment: pool.submit(seconds_of, moment, folder) for moment, folder in folders.items()}


@pytest.mark.fault("C4")
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_server_is_stopped_or_a_model_is_being_loaded(side_by_side: dict[str, Future[float]], moment: str) -> None:
    assert side_by_side[moment].result() < DRAIN_TIMEOUT_S + MARGIN_S
