"""What starts NVIDIA's tritonserver in its image, with the tritonserver of the wheel: its options, key and end.

NVIDIA's image and its native backends are not to be had here; the wheel's Triton 2.51 and our backends stand in.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.composition import DEPLOY, SERVICES, run_options
from tests.deploy.containers import RUN, build_nvidia_image, command
from tests.scrape import wait_until
from tests.shipped import copy_one_detector
from tritonface import create_model
from tritonface_server.access import HEADER
from tritonface_server.endpoints import Endpoints
from tritonface_server.machine import find_triton
from tritonface_server.server import assemble_backends, server_environment

SCRIPT = str(DEPLOY / "serve-nvidia")
KEY = "the-key-of-these-tests"


@contextmanager
def running(folder: Path, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], Endpoints]]:
    """The script, in a folder with a repository of BlazeFace alone."""
    triton, ends = find_triton(), Endpoints.free("0.0.0.0")
    copy_one_detector(folder / "model_repository")
    (folder / "backends").mkdir()
    assemble_backends(triton, folder / "backends")
    environment = server_environment(triton)
    environment |= {"PATH": f"{triton.binary.parent}{os.pathsep}{environment['PATH']}", **variables}
    ports = [f"--{purpose}-port={port}" for purpose, port in ends.ports.items()]
    settings = [*ports, f"--backend-directory={folder / 'backends'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [SCRIPT, *arguments, *settings], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: process.poll() is not None or ask(ends, "v2/health/ready") == 200, timeout_s=120)
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        yield process, ends
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(ends: Endpoints, path: str, **headers: str) -> int:
    """The status of an answer over HTTP, 0 if there is none."""
    request = urllib.request.Request(f"http://127.0.0.1:{ends.http_port}/{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize("arguments", [[], ["--http-port=8000"]], ids=["nothing", "something else"])
def test_it_wants_to_be_told_who_may_reach_it(arguments: list[str]) -> None:
    done = command(sys.executable, SCRIPT, *arguments, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "--insecure" in done.stderr and "--grpc-use-ssl" in done.stderr


def test_it_serves_with_a_key_and_ends(tmp_path: Path, astronaut: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY + "\n")
    with running(tmp_path, "--insecure", TRITONFACE_KEY_FILE=str(key_file)) as (process, ends):
        with create_model("BlazeFace", url=f"127.0.0.1:{ends.grpc_port}") as model:
            assert [len(result) for result in model.predict(str(astronaut))] == [1]
        assert ask(ends, "v2/models/stats") == 403
        assert ask(ends, "v2/models/stats", **{HEADER: KEY}) == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_the_image_is_built_and_wants_the_same_words(image: str) -> None:
    """On a stand-in without Triton: all but what NVIDIA's image brings along."""
    del image  # built before, as it fills the wheelhouse
    name = build_nvidia_image()
    about = json.loads(command("podman", "image", "inspect", name).stdout)[0]
    assert about["Config"]["User"] == "1000:1000" and "--probe" in about["Healthcheck"]["Test"][-1]
    assert about["Config"]["Entrypoint"][1:] == ["serve-nvidia"]
    options = (*RUN, "--rm", *run_options(SERVICES["server"]))
    done = command(*options, "--entrypoint=serve-nvidia", name, check=False)
    assert done.returncode == 1 and "--insecure" in done.stderr
    done = command(*options, "--entrypoint=serve-nvidia", name, "--insecure", check=False)
    assert done.returncode and "tritonserver" in done.stderr
    for program in ("tritonface", "tritonface-server"):
        assert "usage" in command(*options, f"--entrypoint={program}", name, "--help").stdout
