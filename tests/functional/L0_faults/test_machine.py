"""What the machine and other users do to a server: leftovers, damaged models, limits, addresses, keys."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.certificates import write_certificates
from tests.launched import KEY, PHOTO, Launched, eventually, is_there, launched
from tests.shipped import copy_detectors, copy_one_detector
from tritonface import TLS, Connection, ServerUnavailableError, create_model
from tritonface_server.access import GRPC_HEADER, HEADER

DETECTOR = "BlazeFace"
CLIENTS = {"grpc": tritonclient.grpc, "http": tritonclient.http}
HEADERS = {"grpc": GRPC_HEADER, "http": HEADER}
CALLS = {
    "model-repository": lambda client, headers: client.get_model_repository_index(headers=headers),
    "load": lambda client, headers: client.load_model(DETECTOR, headers=headers),
    "trace": lambda client, headers: client.get_trace_settings(headers=headers),
    "logging": lambda client, headers: client.get_log_settings(headers=headers),
    "statistics": lambda client, headers: client.get_inference_statistics(headers=headers),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return copy_one_detector(tmp_path / "models")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("lasting")
    with launched(folder, repository=copy_one_detector(folder / "models")) as launcher:
        yield launcher


def detects(url: str, **connection: object) -> bool:
    with create_model(DETECTOR, connection=Connection(url, **connection)) as model:
        return bool(next(model.predict(PHOTO))["boxes"])


@pytest.mark.fault("C11")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("protocol", CLIENTS)
def test_what_needs_the_key(lasting: Launched, protocol: str, call: str) -> None:
    with CLIENTS[protocol].InferenceServerClient(getattr(lasting.endpoints, protocol)) as client:
        CALLS[call](client, {HEADERS[protocol]: KEY})
        for headers in (None, {HEADERS[protocol]: KEY[:-1]}, {"x-key": KEY}):
            with pytest.raises(InferenceServerException, match="restricted"):
                CALLS[call](client, headers)
        assert client.is_server_ready() and client.is_model_ready(DETECTOR)
        assert client.get_server_metadata() and client.get_model_config(DETECTOR)


def test_the_key_is_in_no_command_line_and_no_log(lasting: Launched, tmp_path_factory: pytest.TempPathFactory) -> None:
    pids = [lasting.process.pid, lasting.server_pid, *(stub.pid for stub in lasting.stubs())]
    assert len(pids) > 4
    assert not [pid for pid in pids if KEY in Path(f"/proc/{pid}/cmdline").read_text()]
    assert not [pid for pid in pids[1:] if KEY in Path(f"/proc/{pid}/environ").read_text()]
    log = next(tmp_path_factory.getbasetemp().glob("lasting*/triton.log")).read_text()
    assert "Started HTTPService" in log and KEY not in log


@pytest.mark.fault("C9")
def test_a_damaged_network_does_not_stop_the_others(tmp_path: Path) -> None:
    repository = copy_detectors(tmp_path / "models", DETECTOR, "BlazeFace-FPN-SSH")
    (repository / "BlazeFace-FPN-SSH_detector" / "1" / "model.onnx").write_bytes(b"no network")
    with launched(tmp_path, repository=repository, ready="ready, but for BlazeFace-FPN-SSH_detector: gRPC") as launcher:
        (reason,) = [line for line in launcher.said if line.startswith("not served: BlazeFace-FPN-SSH_detector: ")]
        assert "cannot be loaded as an ONNX network" in reason
        assert launcher.status("v2/health/ready") == launcher.status("v2/models/BlazeFace-FPN-SSH/ready") == 400
        assert launcher.status("v2/health/live") == launcher.status("v2/models/BlazeFace/ready") == 200
        assert detects(launcher.endpoints.grpc)
        code, told = health(launcher, "--probe")
        unable = {model["name"]: model["reason"] for model in told["models"] if model["reason"]}
        assert code == 3 and not told["ready"] and "BlazeFace" in {model["name"] for model in told["models"]}
        assert {"BlazeFace-FPN-SSH", "BlazeFace-FPN-SSH_detector"} <= set(unable) and "BlazeFace" not in unable
        assert "cannot be loaded" in unable["BlazeFace-FPN-SSH_detector"]
        assert health(launcher, "--model", "BlazeFace", "--probe")[0] == 0  # what still works does
        launcher.process.send_signal(signal.SIGTERM)
        assert launcher.process.wait(30) == 1  # something was left out


def health(launcher: Launched, *arguments: str, key: str = KEY) -> tuple[int, dict[str, Any]]:
    """What `tritonface health --json` says."""
    command = [sys.executable, "-m", "tritonface", "health", "--url", launcher.endpoints.grpc, "--json", *arguments]
    run = subprocess.run(command, env={**os.environ, "TRITONFACE_KEY": key}, capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    return run.returncode, json.loads(run.stdout)


def test_without_the_key_health_knows_the_server_and_the_detectors_that_are_named(lasting: Launched) -> None:
    assert health(lasting, key="wrong") == (0, health(lasting, key="")[1])
    assert health(lasting, key="")[1]["models"] == []
    code, told = health(lasting, "--probe", "--model", DETECTOR, key="")
    assert code == 0 and [model["name"] for model in told["models"]] == [DETECTOR] and told["models"][0]["faces"]
    code, told = health(lasting, "--probe", key="")  # of the command line's own detector, which is not here
    assert code == 3 and told["ready"] and [model["reason"] for model in told["models"]] == ["not ready"]


@pytest.mark.fault("C7")
def test_what_a_killed_server_left_goes_at_the_next_start(repository: Path, tmp_path: Path) -> None:
    with launched(tmp_path, repository=repository) as first:
        (own,) = (tmp_path / "cache" / "tritonface").iterdir()
        folders = (own / "temporary-folders").read_text().splitlines()
        pids = [first.server_pid, *(stub.pid for stub in first.stubs())]
        os.kill(pids[-1], signal.SIGSTOP)  # one that does not notice
        children = psutil.Process(first.process.pid).children()
        os.kill(first.process.pid, signal.SIGSTOP)  # so that nobody can tidy up
        for pid in (*(child.pid for child in children), first.process.pid):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not is_there(pids[0]))
    assert is_there(pids[-1])
    segments = list(Path("/dev/shm").glob(f"*{own.name}*"))
    assert folders and segments  # of the folders some may be those of a server that was started meanwhile
    with launched(tmp_path, repository=repository):
        assert not own.exists() and not [path for path in (*segments, *map(Path, folders)) if path.exists()]
        assert not [pid for pid in pids if is_there(pid)]
    assert not list((tmp_path / "cache" / "tritonface").iterdir())


@pytest.mark.fault("C11")
def test_ipv6(repository: Path, tmp_path: Path) -> None:
    with launched(tmp_path, repository=repository, host="::1") as launcher:
        assert launcher.endpoints.grpc.startswith("[::1]:")
        assert detects(launcher.endpoints.grpc) and detects(launcher.endpoints.http, protocol="http")


@pytest.mark.fault("C11")
@pytest.mark.parametrize("mutual", [False, True])
def test_tls(repository: Path, tmp_path: Path, mutual: bool) -> None:
    write_certificates(tmp_path, "server", "client")
    options = ["--tls-cert", tmp_path / "server.pem", "--tls-key", tmp_path / "server.key"]
    options += ["--tls-ca", tmp_path / "ca.pem"] if mutual else []
    trusted = TLS(tmp_path / "ca.pem")
    own = TLS(tmp_path / "ca.pem", cert_file=tmp_path / "client.pem", key_file=tmp_path / "client.key")
    with launched(tmp_path, *map(str, options), repository=repository) as launcher:
        url = launcher.endpoints.grpc
        assert detects(url, tls=own if mutual else trusted)
        for tls in (None, TLS(), *([trusted] if mutual else [])):
            with pytest.raises(ServerUnavailableError):
                create_model(DETECTOR, connection=Connection(url, tls=tls, timeout_s=2, retries=0))


@pytest.mark.fault("C11")
def test_beyond_this_machine_says_what_triton_lacks(tmp_path: Path) -> None:
    with Launched(tmp_path, "--insecure", repository=tmp_path, host="0.0.0.0") as launcher:
        launcher.wait_for("CVE-2025-23310")
        assert "is empty" in launcher.wait_for("error: ") and launcher.process.wait(30) == 1


@pytest.mark.fault("C10")
def test_two_at_once_on_the_same_ports(repository: Path, tmp_path: Path) -> None:
    with (
        Launched(tmp_path, repository=repository) as first,
        Launched(tmp_path, repository=repository, endpoints=first.endpoints) as second,
    ):
        both = (first, second)
        assert eventually(lambda: any(it.process.poll() is not None for it in both))
        loser, winner = sorted(both, key=lambda it: it.process.poll() is None)
        winner.wait_for("ready: gRPC")
        assert re.search(r"another server is starting on|cannot listen on", loser.wait_for("error: "))
        assert loser.process.wait() == 1 and detects(winner.endpoints.grpc)


@pytest.mark.fault("C10")
@pytest.mark.parametrize("before", ["exec >&- 2>&-", "exec >/dev/full 2>&1"])
def test_nobody_to_talk_to(repository: Path, tmp_path: Path, before: str) -> None:
    with Launched(tmp_path, repository=repository, before=before) as launcher:
        assert eventually(lambda: launcher.status("v2/health/ready") == 200)
        before_it = {stub.pid for stub in launcher.stubs()}
        os.kill(launcher.stubs()[0].pid, signal.SIGKILL)
        assert eventually(
            lambda: len(launcher.stubs()) == len(before_it) and before_it - {s.pid for s in launcher.stubs()}
        )
        for path in ("v2/health/ready", f"v2/models/{DETECTOR}/ready"):
            assert eventually(lambda path=path: launcher.status(path) == 200)
        assert detects(launcher.endpoints.grpc)
        launcher.process.send_signal(signal.SIGTERM)
        assert launcher.process.wait(30) == 0


@pytest.mark.fault("C10")
def test_few_open_files_and_a_read_only_repository(repository: Path, tmp_path: Path) -> None:
    for path in (repository, *repository.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with launched(tmp_path, repository=repository, before="ulimit -Sn 64") as launcher:
            assert detects(launcher.endpoints.grpc)
    finally:
        for path in (repository, *repository.rglob("*")):
            path.chmod(0o755)


@pytest.mark.fault("C8")
@pytest.mark.fault("C10")
@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("ulimit -n 64", r"only 64 open files are allowed \(ulimit -Hn\), a server needs 256"),
        ("mount -t tmpfs -o size=8m none /dev/shm", r"/dev/shm has 8 MiB free, 5 processes of models need 15 MiB"),
        ("mount -t tmpfs -o size=1m none $XDG_CACHE_HOME", r"backends cannot be copied to .*No space left on device"),
    ],
)
def test_a_clear_line_at_the_start(repository: Path, tmp_path: Path, before: str, message: str) -> None:
    if "mount" in before and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount anything")
    (tmp_path / "cache").mkdir()
    with Launched(tmp_path, repository=repository, before=before) as launcher:
        assert re.search(message, launcher.wait_for("error: "))
        assert launcher.process.wait(30) == 1
