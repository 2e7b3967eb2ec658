"""The launcher as a user runs it: start, serve, drain on Ctrl-C, leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.launched import Launched, launched
from tests.scrape import scrape, wait_until
from training.paths import MODEL_REPOSITORY, ROOT
from tritonface import create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.machine import LaunchError
from tritonface_server.metrics import series
from tritonface_server.server import TritonServer, undrained


@pytest.fixture
def running(tmp_path: Path, one_detector: Path) -> Iterator[Launched]:
    """One to be ended."""
    with launched(tmp_path, repository=one_detector) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, one_detector: Path) -> Iterator[Launched]:
    """One that is still ready after each test."""
    with launched(tmp_path_factory.mktemp("lasting"), repository=one_detector) as launcher:
        yield launcher


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_leaves_nothing(
    running: Launched, solvay: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    descendants = psutil.Process(running.process.pid).children(recursive=True)
    assert len(descendants) > 3  # the server and the stubs of its Python models
    decoded = series("nv_inference_request_success", model="640x640_cubic_preprocess", version="1")
    url, side_px = running.endpoints.grpc, 1280  # a network that takes several times as long as decoding and asking
    with create_model("BlazeFace", url=url, img_size=side_px) as model, ThreadPoolExecutor() as pool:
        before = scrape(running)[decoded]
        under_way = pool.submit(list, model.predict([solvay] * 16, batch_size=16))
        wait_until(lambda: scrape(running)[decoded] == before + 16)
        assert not under_way.done()
        running.process.send_signal(sent)
        assert len([result for result in under_way.result() if result["boxes"]]) == 16
    assert running.process.wait(30) == 0
    assert not [process for process in descendants if process.is_running()]
    assert not list((tmp_path / "cache" / "tritonface").iterdir())


def test_only_loopback_by_default(lasting: Launched) -> None:
    ends = lasting.endpoints
    wait_until_listening(ends.metrics_port)  # the metrics come a moment after the readiness
    for port in (ends.http_port, ends.grpc_port, ends.metrics_port):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def wait_until_listening(port: int, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.05)


def run_server(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tritonface_server", "serve", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_an_empty_repository_is_one_clear_line(tmp_path: Path) -> None:
    run = run_server("--model-repository", str(tmp_path))
    assert run.returncode == 1
    assert run.stderr.startswith("error: the model repository") and "--model-repository DIR" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_taken_port_is_one_clear_line(server: TritonServer) -> None:
    run = run_server("--http-port", str(server.endpoints.http_port))
    assert run.returncode == 1
    assert f"cannot listen on {server.endpoints.http} for http" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_model_that_does_not_load_shows_the_servers_log(tmp_path: Path) -> None:
    broken = tmp_path / "repository" / "broken"
    (broken / "1").mkdir(parents=True)
    (broken / "1" / "model.onnx").write_bytes(b"no network")
    (broken / "config.pbtxt").write_text(
        (MODEL_REPOSITORY / "BlazeFace_detector" / "config.pbtxt").read_text().replace("BlazeFace_detector", "broken")
    )
    server = TritonServer(broken.parent, Endpoints.free(), log=tmp_path / "log")
    with pytest.raises(LaunchError, match=r"failed to load 'broken' version 1: .*no ONNX file"):
        server.__enter__()


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_copy_of_the_network_for_every_cpu_it_may_use(
    cpus: int, solvay: Path, one_detector: Path, tmp_path: Path
) -> None:
    before = os.sched_getaffinity(0)
    allowed = sorted(before)[:cpus]
    os.sched_setaffinity(0, allowed)
    try:
        with undrained(TritonServer(one_detector, Endpoints.free(), log=tmp_path / "log")) as server:
            stubs = [" ".join(child.cmdline()) for child in psutil.Process(server.process.pid).children()]
            assert len([stub for stub in stubs if "/BlazeFace_detector/" in stub]) == len(allowed)
            with create_model("BlazeFace", url=server.endpoints.grpc) as model:
                assert len([result for result in model.predict([solvay] * 4, batch_size=4) if result["boxes"]]) == 4
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("model", "niceness"),
    [
        ("640x640_cubic_preprocess", 0),
        ("BlazeFace_detector", 5),
        ("BlazeFace_hpi_detector", 5),
        ("BlazeFace_postprocess", 0),
    ],
)
def test_networks_give_way_to_the_other_steps(server: TritonServer, model: str, niceness: int) -> None:
    children = psutil.Process(server.process.pid).children()
    stubs = [child for child in children if f"/{model}/" in " ".join(child.cmdline())]
    assert stubs
    assert {stub.nice() - psutil.Process(server.process.pid).nice() for stub in stubs} == {niceness}


def test_a_killed_server_leaves_no_model_process(one_detector: Path, tmp_path: Path) -> None:
    with TritonServer(one_detector, Endpoints.free(), log=tmp_path / "server.log") as server:
        group = server.process.pid
        stubs = psutil.Process(group).children(recursive=True)
        assert stubs
        for stub in stubs[:3]:
            stub.suspend()  # as one that is stuck and does not notice
        os.kill(group, signal.SIGKILL)
    _, alive = psutil.wait_procs(stubs, timeout=10)
    assert not alive
