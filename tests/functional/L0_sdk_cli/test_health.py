"""`tritonface health`: what a server says of itself, of each detector, and what becomes of a photo sent through it.

A server that lacks a model, and one that has a key, are asked in L0_faults.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from training.paths import MODEL_REPOSITORY, ROOT
from tritonface_server.endpoints import Endpoints
from tritonface_server.model_names import detector_names
from tritonface_server.server import TritonServer, undrained

COMMAND = [sys.executable, "-m", "tritonface", "health"]
ENSEMBLES = sorted(name + variant for name in detector_names(MODEL_REPOSITORY) for variant in ("", "_hpi"))


def health(server: TritonServer, *arguments: object, protocol: str = "grpc") -> subprocess.CompletedProcess[str]:
    where = ["--protocol", protocol, "--url", getattr(server.endpoints, protocol)]
    return subprocess.run([*COMMAND, *where, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def as_json(server: TritonServer, *arguments: object) -> tuple[int, dict[str, Any]]:
    run = health(server, *arguments, "--json")
    assert run.stderr == ""
    return run.returncode, json.loads(run.stdout)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_server_and_its_detectors(server: TritonServer, protocol: str) -> None:
    run = health(server, protocol=protocol)
    first, *models = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert first == f"ready: {protocol} at {getattr(server.endpoints, protocol)}"
    assert [line.split() for line in models] == [[name, "ready"] for name in ENSEMBLES]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_probe_finds_a_face_with_every_detector(server: TritonServer, protocol: str) -> None:
    run = health(server, "--probe", protocol=protocol)
    assert run.returncode == 0, run.stdout
    lines = run.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ENSEMBLES
    assert all(" face" in line and line.endswith(" ms") for line in lines)


def test_chosen_detectors(server: TritonServer) -> None:
    code, told = as_json(server, "--model", "BlazeFace_hpi", "--probe")
    (model,) = told["models"]
    assert code == 0 and told["good"] and model["name"] == "BlazeFace_hpi"
    assert model["faces"] >= 1 and model["milliseconds"] > 0 and model["reason"] is None
    code, told = as_json(server, "--model", "BlazeFace", "--model", "Nope")
    assert code == 3 and not told["good"]
    assert [model["reason"] for model in told["models"]] == [None, "not ready"]


def test_a_photo_without_a_face_and_one_that_is_none(server: TritonServer, tmp_path: Path) -> None:
    grey, text = tmp_path / "grey.png", tmp_path / "text.jpg"
    cv2.imwrite(str(grey), np.full((64, 64, 3), 128, np.uint8))
    text.write_text("no photo")
    for photo, reason in ((grey, "finds no face in the photo"), (text, "not a JPEG")):
        code, told = as_json(server, "--model", "BlazeFace", "--probe", photo)
        assert code == 3 and told["ready"] and reason in told["models"][0]["reason"]
    run = health(server, "--probe", tmp_path / "gone.jpg")
    assert run.returncode == 3 and "gone.jpg" in run.stderr and "Traceback" not in run.stderr


def test_nobody_answers_within_a_second() -> None:
    run = subprocess.run([*COMMAND, "--url", "127.0.0.1:9", "--json"], capture_output=True, text=True, timeout=60)
    told = json.loads(run.stdout)
    assert run.returncode == 3 and not told["good"] and "no Triton server answers gRPC" in told["error"]


def test_it_waits_for_a_server(tmp_path: Path, one_detector: Path) -> None:
    server = TritonServer(one_detector, Endpoints.free(), log=tmp_path / "log", cpus=1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    command = [*COMMAND, "--url", server.endpoints.grpc, "--wait", "100", "--probe", "--model", "BlazeFace"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        try:
            with undrained(server):
                out, err = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
    assert waiting.returncode == 0 and out.startswith(b"ready") and err == b""
