"""The folder of a running server: out of the reach of cleaners of /tmp, and gone when its process is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tritonface_server.run_folder import base_folder, run_folder

KILLED = """
import os, signal
from tritonface_server.run_folder import run_folder
with run_folder() as folder:
    (folder / "python").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tritonface"


def test_it_is_empty_and_goes(cache: Path) -> None:
    with run_folder() as folder:
        assert folder.parent == cache and not list(folder.iterdir())
        (folder / "python").mkdir()
    assert not list(cache.iterdir())


def test_several_at_a_time(cache: Path) -> None:
    with run_folder() as first, run_folder() as second, run_folder() as third:
        assert sorted(cache.iterdir()) == sorted([first, second, third])
    assert not list(cache.iterdir())


@pytest.mark.fault("C7")
def test_what_a_killed_process_left_is_removed(cache: Path) -> None:
    with run_folder() as alive:
        run = subprocess.run([sys.executable, "-c", KILLED])
        assert run.returncode == -signal.SIGKILL and len(list(cache.iterdir())) == 2
        with run_folder() as own:
            assert sorted(cache.iterdir()) == sorted([alive, own])


@pytest.mark.fault("C21")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_CACHE_HOME": "{tmp}/cache"}, "{tmp}/cache/tritonface"),
        ({"XDG_CACHE_HOME": "", "HOME": "{tmp}"}, "{tmp}/.cache/tritonface"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "{tmp}"}, "{tmp}/.cache/tritonface"),
        ({"XDG_CACHE_HOME": "/proc/nothing"}, f"{tempfile.gettempdir()}/tritonface-{os.getuid()}"),
    ],
)
def test_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp=tmp_path))
    assert base_folder() == Path(expected.format(tmp=tmp_path))
