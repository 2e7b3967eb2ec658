"""The launcher ends in a stated time, whatever hangs on its way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
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


@pytest.mark.fault("C4")
@pytest.mark.parametrize("moment", ["before", "while unloading", "after unloading"])
def test_the_server_is_stopped(running: Launched, moment: str) -> None:
    server, stubs = running.server_pid, running.stubs()
    if moment == "before":
        os.kill(server, signal.SIGSTOP)
    told_s = told_to_end(running)
    if moment == "while unloading":
        assert eventually(lambda: is_unloading(running, STEP))
    elif moment == "after unloading":
        assert eventually(lambda: not any(is_there(stub.pid) for stub in stubs if stub.model == STEP))
    os.kill(server, signal.SIGSTOP)
    assert seconds_to_end(running, told_s) < DRAIN_TIMEOUT_S + MARGIN_S


@pytest.mark.fault("C4")
def test_a_model_is_being_loaded_anew(running: Launched, tmp_path: Path) -> None:
    model = "BlazeFace_postprocess"
    code = tmp_path / "models" / model / "1" / "model.py"
    code.write_text("import time\n\ntime.sleep(60)\n")
    os.kill(running.stubs(model)[0].pid, signal.SIGKILL)
    running.wait_for("loading it anew")
    assert eventually(lambda: running.stubs(model))
    assert seconds_to_end(running, told_to_end(running)) < DRAIN_TIMEOUT_S + MARGIN_S
