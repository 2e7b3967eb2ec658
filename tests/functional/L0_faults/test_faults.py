"""Faults of a running server, under the load of eight callers over both protocols: what is lost, what comes back."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import tritonclient.grpc

from tests.launched import Callers, Launched, eventually, is_there, launched
from tests.shipped import copy_detectors, copy_one_detector
from tritonface_server.admission import ledger_file, server_name
from tritonface_server.control import TIMEOUT_S
from tritonface_server.endpoints import Endpoints
from tritonface_server.pulse import INTERVAL_S, SILENT_S

FALLEN, OTHER = "BlazeFace", "BlazeFace-FPN-SSH"
SHARED = "640x640_cubic_preprocess"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the two; read only."""
    return copy_detectors(tmp_path_factory.mktemp("both"), FALLEN, OTHER)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, both: Path) -> Iterator[Launched]:
    """One that is ready again after each test."""
    with launched(tmp_path_factory.mktemp("lasting"), repository=both) as launcher:
        yield launcher


@pytest.fixture
def running(tmp_path: Path, both: Path) -> Iterator[Launched]:
    """One to be ended."""
    with launched(tmp_path, repository=both) as launcher:
        yield launcher


class Readiness:
    """Notes when a server first says that it is unready; over gRPC, where answers wait for no model that is loaded."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.unready_s: float | None = None
        self._endpoints, self._stopped = endpoints, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Readiness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(60)

    def _watch(self) -> None:
        with tritonclient.grpc.InferenceServerClient(self._endpoints.grpc) as client:
            while self.unready_s is None and not self._stopped.wait(0.005):
                if not client.is_server_ready():
                    self.unready_s = time.monotonic()


def kill_one(launcher: Launched, model: str) -> float:
    """When it was killed."""
    pid = launcher.stubs(model)[0].pid
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


@pytest.mark.fault("C3")
@pytest.mark.parametrize("step", [SHARED, f"{FALLEN}_detector", f"{FALLEN}_postprocess"])
def test_a_model_whose_process_dies_is_back_and_the_others_serve_on(lasting: Launched, step: str) -> None:
    server, model = lasting.server_pid, step
    with Callers(lasting.endpoints, FALLEN, OTHER) as callers:
        assert eventually(lambda: callers.served(FALLEN, 0) and callers.served(OTHER, 0))
        with Readiness(lasting.endpoints) as readiness:
            for stub in lasting.stubs(model):
                os.kill(stub.pid, signal.SIGKILL)
                killed_s = time.monotonic()
                time.sleep(0.02)  # what is killed at once does not end at once
            lasting.wait_for(f"{model} is back")
        back_s = time.monotonic() - killed_s
        assert lasting.status("v2/health/ready") == lasting.status(f"v2/models/{FALLEN}/ready") == 200
        assert eventually(lambda: [s for s in callers.served(FALLEN, killed_s) if s > back_s])
        assert eventually(lambda: [s for s in callers.served(OTHER, killed_s) if s > back_s])
    assert readiness.unready_s is not None
    said_s, failed = readiness.unready_s - killed_s, len(callers.failures(FALLEN, killed_s))
    print(f"readiness after {said_s:.2f} s, back after {back_s:.2f} s, failed {failed}")
    assert step == SHARED or not callers.failures(OTHER, killed_s)
    assert lasting.server_pid == server


@pytest.mark.fault("C3")
def test_one_of_two_processes_of_a_model(tmp_path: Path, both: Path) -> None:
    model = SHARED
    two = launched(tmp_path, "--cpus=2", repository=both)
    with two as launcher, Callers(launcher.endpoints, FALLEN, OTHER) as callers:
        assert eventually(lambda: callers.served(FALLEN, 0) and callers.served(OTHER, 0))
        before = {stub.pid for stub in launcher.stubs(model)}
        killed_s = kill_one(launcher, model)
        launcher.wait_for(f"{model} is back")
        assert launcher.status("v2/health/ready") == 200
        assert eventually(lambda: callers.served(FALLEN, time.monotonic() - 0.5))
        assert eventually(
            lambda: len(launcher.stubs(model)) == 2 and not before & {it.pid for it in launcher.stubs(model)}
        )
    assert len(before) == 2
    failures = [text for detector in (FALLEN, OTHER) for text in callers.failures(detector, killed_s)]
    assert not [text for text in failures if "no available versions" in text]


@pytest.mark.fault("C12")
def test_a_stopped_process_is_replaced_alone(lasting: Launched) -> None:
    server, model = lasting.server_pid, f"{FALLEN}_detector"
    with Callers(lasting.endpoints, FALLEN, OTHER) as callers:
        assert eventually(lambda: callers.served(FALLEN, 0) and callers.served(OTHER, 0))
        stopped_s = time.monotonic()
        os.kill(lasting.stubs(model)[0].pid, signal.SIGSTOP)
        lasting.wait_for(f"{model} is back")
        assert eventually(lambda: callers.served(FALLEN, stopped_s))
    assert not callers.failures(OTHER, stopped_s)
    assert lasting.server_pid == server


@pytest.mark.fault("C6")
def test_a_server_that_dies_is_started_anew(lasting: Launched) -> None:
    os.kill(lasting.server_pid, signal.SIGKILL)
    assert "exit code -9" in lasting.wait_for("tritonserver has died")
    lasting.wait_for("ready: gRPC")
    with Callers(lasting.endpoints, FALLEN, OTHER) as callers:
        assert eventually(lambda: callers.served(FALLEN, 0) and callers.served(OTHER, 0))


@pytest.mark.fault("C6")
def test_a_server_that_hangs_is_started_anew(lasting: Launched) -> None:
    os.kill(lasting.server_pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    lasting.wait_for("tritonserver has not answered for 20 s")
    assert SILENT_S - INTERVAL_S < time.monotonic() - stopped_s < SILENT_S + TIMEOUT_S + INTERVAL_S + 3
    assert "exit code -9" in lasting.wait_for("tritonserver has died")
    lasting.wait_for("ready: gRPC")
    with Callers(lasting.endpoints, FALLEN, OTHER) as callers:
        assert eventually(lambda: callers.served(FALLEN, 0) and callers.served(OTHER, 0))


def never_starts(folder: Path) -> None:
    repository = copy_one_detector(folder / "models")
    (repository / f"{FALLEN}_postprocess" / "1" / "model.py").write_text("import os\n\nos._exit(3)\n")
    with launched(folder, repository=repository, ready=f"ready, but for {FALLEN}_postprocess: gRPC") as launcher:
        launcher.wait_for("giving up")
        launcher.wait_for("error: no detector is served any more")
        assert launcher.process.wait(30) == 1


def dies_at_each_start(folder: Path) -> None:
    repository = copy_one_detector(folder / "models")
    with launched(folder, repository=repository) as launcher:
        code = repository / f"{FALLEN}_postprocess" / "1" / "model.py"
        code.write_text("import os\n\nos._exit(3)\n")
        kill_one(launcher, f"{FALLEN}_postprocess")
        began_s = time.monotonic()
        line = launcher.wait_for("giving up")
        assert f"{FALLEN}_postprocess after 5 failures in a row" in line and "is not healthy" in line
        assert time.monotonic() - began_s > 1 + 2 + 4  # its pauses
        assert [text for text in launcher.said if "in 4 s" in text]
        launcher.wait_for("error: no detector is served any more")
        assert launcher.process.wait(30) == 1


GIVEN_UP = (never_starts, dies_at_each_start)


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """What waits for a model to be given up; each has a launcher of its own."""
    with ThreadPoolExecutor(len(GIVEN_UP)) as pool:
        yield {act.__name__: pool.submit(act, tmp_path_factory.mktemp("faults")) for act in GIVEN_UP}


@pytest.mark.fault("C6")
@pytest.mark.parametrize("act", [act.__name__ for act in GIVEN_UP])
def test_a_model_whose_process_does_not_live_is_given_up(side_by_side: dict[str, Future[None]], act: str) -> None:
    side_by_side[act].result()


@pytest.mark.fault("C4")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered_and_nothing_else(running: Launched, sent: signal.Signals) -> None:
    stubs = [stub.pid for stub in running.stubs()]
    idle = socket.create_connection((running.endpoints.host, running.endpoints.http_port))
    idle.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with idle, Callers(running.endpoints, FALLEN, OTHER) as callers:
        assert idle.recv(15) == b"HTTP/1.1 200 OK"
        assert eventually(lambda: callers.served(FALLEN, 0) and callers.served(OTHER, 0))
        running.process.send_signal(sent)
        sent_s = time.monotonic()
        assert eventually(lambda: running.status("v2/health/ready") != 200)
        ready_s = time.monotonic() - sent_s
        assert running.process.wait(30) == 0
        took_s = time.monotonic() - sent_s
    last_s = max([*callers.served(FALLEN, 0), *callers.served(OTHER, 0)]) - sent_s
    print(f"readiness after {ready_s:.2f} s, last answer after {last_s:.2f} s, exit after {took_s:.2f} s")
    failures = {*callers.failures(FALLEN, 0), *callers.failures(OTHER, 0)}
    assert not [failure for failure in failures if "ensemble" in failure or "stopping" in failure]
    assert {f for f in failures if "no available versions" in f}
    assert not [pid for pid in stubs if is_there(pid)]


@pytest.mark.fault("C5")
def test_a_second_signal_ends_everything_at_once(running: Launched) -> None:
    stubs, server = [stub.pid for stub in running.stubs()], running.server_pid
    ledger = ledger_file(server_name(server))
    with Callers(running.endpoints, FALLEN, OTHER) as callers:
        assert eventually(lambda: callers.served(FALLEN, 0)) and ledger.exists()
        os.kill(stubs[0], signal.SIGSTOP)  # draining cannot come to an end
        running.process.send_signal(signal.SIGINT)
        running.wait_for("draining")
        running.process.send_signal(signal.SIGINT)
        running.process.wait(10)
        assert not [pid for pid in (server, *stubs) if is_there(pid)] and not ledger.exists()


def test_nothing_outlives_a_killed_launcher(running: Launched) -> None:
    pids = [running.server_pid, *(stub.pid for stub in running.stubs())]
    with Callers(running.endpoints, FALLEN, OTHER) as callers:
        assert eventually(lambda: callers.served(FALLEN, 0))
        running.process.kill()
        assert eventually(lambda: not [pid for pid in pids if is_there(pid)])
