"""Memory that a large picture takes comes back, in a process of its own with the server's settings of malloc."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.shipped import network_file
from tritonface_server.server import KEEP_FREED_MEMORY

CODE = """
import sys, numpy, psutil
from pathlib import Path
from tritonface_server import runtimes
run = getattr(runtimes, sys.argv[1])(Path(sys.argv[2]), ["boxes", "scores"], 1, 1)
for side in 640, 320, 2048, 320, 640:
    boxes, _ = run({"picture": numpy.zeros((1, side, side, 3), numpy.uint8)})
    print(psutil.Process().memory_info().rss, boxes.shape[1])
"""
MAX_MORE_BYTES = 60 * 2**20  # 460 and 200 MB where nothing is given back


@pytest.mark.fault("C17")
@pytest.mark.parametrize("runtime", ["onnxruntime_run", "openvino_run"])
def test_memory_comes_back_after_a_large_picture(runtime: str) -> None:
    command = [sys.executable, "-c", CODE, runtime, str(network_file())]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **KEEP_FREED_MEMORY})
    assert run.returncode == 0, run.stderr
    memory, boxes = zip(*(map(int, line.split()) for line in run.stdout.splitlines()))
    assert boxes[0] == boxes[4] and boxes[1] == boxes[3] and boxes[2] > 10 * boxes[0]
    assert memory[2] < memory[1] + MAX_MORE_BYTES and memory[4] < memory[1] + MAX_MORE_BYTES


REST = """
import sys, numpy, psutil
from pathlib import Path
from tritonface_server import runtimes
network = getattr(runtimes, sys.argv[1])(Path(sys.argv[2]), ["boxes", "scores"], 1, 1)
picture = numpy.random.default_rng(1).integers(0, 255, (1, 640, 640, 3), numpy.uint8)
before = network({"picture": picture})
at_work = psutil.Process().memory_info().rss
network.rest()
at_rest = psutil.Process().memory_info().rss
assert all(map(numpy.array_equal, before, network({"picture": picture})))
print(at_work, at_rest)
"""
GIVEN_BACK_BYTES = {"onnxruntime_run": 25 * 2**20, "openvino_run": 5 * 2**20}  # 40 and 10 MB


@pytest.mark.parametrize("runtime", GIVEN_BACK_BYTES)
def test_a_network_at_rest_gives_back_what_it_needs_to_run(runtime: str) -> None:
    command = [sys.executable, "-c", REST, runtime, str(network_file())]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **KEEP_FREED_MEMORY})
    assert run.returncode == 0, run.stderr
    at_work, at_rest = map(int, run.stdout.split())
    assert at_rest < at_work - GIVEN_BACK_BYTES[runtime]
