"""docs/start.md as somebody new would use it: its blocks, one after the other, in a fresh copy of the project.

`make test-long` runs it, as it takes a minute. How long each block took is printed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from training.paths import ROOT
from tritonface_server.endpoints import Endpoints

pytestmark = pytest.mark.long

PAGE = (ROOT / "docs" / "start.md").read_text()
MARKED = re.compile(r"^<!-- run by tests/functional/L0_start/\S+ -->\n```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = MARKED.findall(PAGE)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git has of the project, with the packages of this environment."""
    folder = tmp_path_factory.mktemp("checkout")
    copy = f"git ls-files -z | tar --create --null --files-from=- | tar --extract --directory '{folder}'"
    subprocess.run(["bash", "-euo", "pipefail", "-c", copy], cwd=ROOT, check=True)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.fixture(scope="module")
def environment(checkout: Path) -> Iterator[dict[str, str]]:
    """Variables by which the commands find the server of this test, which watches that copy's repository."""
    ends = Endpoints.free()
    ports = [f"--{purpose}-port={port}" for purpose, port in ends.ports.items()]
    command = [checkout / ".venv" / "bin" / "tritonface-server", "serve", "--watch", *ports]
    process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        assert any(line.startswith("ready:") for line in process.stdout)
        yield {**os.environ, "TRITONFACE_URL": ends.grpc, "PYTHONPATH": ""}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_blocks_of_the_page(checkout: Path, environment: dict[str, str]) -> None:
    assert len(BLOCKS) == 3
    said = []
    for block in BLOCKS:
        began = time.monotonic()
        run = subprocess.run(["bash", "-euc", block], cwd=checkout, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, block + run.stdout + run.stderr
        print(f"{time.monotonic() - began:.0f} s: {block.splitlines()[-1]}")
        said.append(run.stdout)
    assert "face_detection.png: 29 faces" in said[0] and "face_detection.png: 29 faces" in PAGE
    assert json.loads((checkout / "output" / "first" / "face_detection_res.json").read_text())["boxes"]
    original, blurred = (
        Image.open(path).convert("RGB")
        for path in (checkout / "demo/photos/solvay_1927.jpg", checkout / "output/blurred/solvay_1927.jpg")
    )
    assert original.size == blurred.size and ImageChops.difference(original, blurred).getbbox()
    assert re.search(r"solvay_1927\.jpg: \d\d faces", said[2])
