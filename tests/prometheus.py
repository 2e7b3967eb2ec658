"""A real Prometheus of Debian's package, and what it answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.scrape import wait_until
from tritonface_server.endpoints import Endpoints


def program(name: str) -> str:
    """Where it is; a test that needs it is skipped where it is not."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} on this machine: apt-get install prometheus")
    return path


@contextmanager
def running(folder: Path, config: str) -> Iterator[str]:
    """The address of one that runs in this folder, with this file there as its configuration."""
    address = f"127.0.0.1:{Endpoints.free().http_port}"
    command = [program("prometheus"), f"--config.file={config}", "--storage.tsdb.path=data"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], cwd=folder, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(address), (folder / "log").read_text)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def answers(address: str) -> bool:
    """Whether one is ready there."""
    with suppress(OSError), urllib.request.urlopen(f"http://{address}/-/ready", timeout=5):
        return True
    return False


def ask(address: str, what: str, **parameters: str) -> Any:
    """Its answer to a query, or to another part of its API."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"http://{address}/api/v1/{what}?{query}", timeout=10) as response:
        return json.load(response)["data"]
