"""Both wheels in an environment of their own, used from an empty folder: nothing may look for the checkout."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exported import make_export
from tests.shipped import copy_one_detector
from training.paths import ROOT
from tritonface_server.endpoints import Endpoints

ACTIONS = {"serve": [], "publish": ["add", "undo", "list"], "repository": [], "tensorrt": ["build", "check"]}
COMMANDS = [
    ("tritonface",),
    *(("tritonface", command) for command in ("predict", "blur", "crop", "models", "health", "web", "completion")),
    ("tritonface-server",),
    *(("tritonface-server", command) for command in ACTIONS),
    *(("tritonface-server", command, action) for command, actions in ACTIONS.items() for action in actions),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands that both wheels install; other packages are those of this environment."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    for name in ("client", "server"):
        source = shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        )
        build = [*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
        subprocess.run(build, check=True)
        shutil.rmtree(source)
    environment = folder / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    wheels = sorted(folder.glob("*.whl"))
    assert len(wheels) == 2
    subprocess.run([*pip, "--python", python, "install", "--no-index", "--no-deps", *wheels], check=True)
    # A .pth file adds folders, but does not read the .pth files in them: no editable installation comes along.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    return environment / "bin"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def outside(programs: Path) -> dict[str, str]:
    """Environment variables without a hint at the checkout."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "PATH": f"{programs}:{os.environ['PATH']}"}


def run(programs: Path, folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs / command[0], *command[1:]],
        cwd=folder,
        env=outside(programs),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_both_packages_are_those_of_the_wheels(programs: Path, empty: Path) -> None:
    code = "import tritonface, tritonface_server; print(tritonface.__file__, tritonface_server.__file__)"
    files = run(programs, empty, "python", "-c", code).stdout.split()
    assert len(files) == 2 and all(Path(file).is_relative_to(programs.parent) for file in files)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(programs: Path, empty: Path, command: tuple[str, ...]) -> None:
    said = run(programs, empty, *command, "--help")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith(f"usage: {' '.join(command)} ")


@pytest.mark.parametrize("command", [["serve"], ["repository"], ["tensorrt", "build"], ["tensorrt", "check"]])
def test_a_folder_without_a_repository_is_one_clear_line(programs: Path, empty: Path, command: list[str]) -> None:
    said = run(programs, empty, "tritonface-server", *command)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("error: there is no ") and "model_repository" in said.stderr
    assert len(said.stderr.splitlines()) == 1
    assert not list(empty.iterdir())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return copy_one_detector(tmp_path / "models")


@pytest.fixture
def served(programs: Path, empty: Path, repository: Path) -> Iterator[Endpoints]:
    ends = Endpoints.free()
    ports = [f"--{purpose}-port={port}" for purpose, port in ends.ports.items()]
    process = subprocess.Popen(
        [programs / "tritonface-server", "serve", "--watch", "--model-repository", repository, *ports],
        cwd=empty,
        env=outside(programs),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any(line.startswith("ready:") for line in process.stdout)
        yield ends
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_serve_predict_publish(
    programs: Path, empty: Path, repository: Path, served: Endpoints, astronaut: Path, tmp_path: Path
) -> None:
    address = ["--url", served.grpc]
    found = run(programs, empty, "tritonface", "predict", astronaut, "--model", "BlazeFace", "--json", *address)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["boxes"]

    exported = make_export(tmp_path / "exported")
    added = run(
        programs, empty, "tritonface-server", "publish", "add", exported, "mine", "--model-repository", repository
    )
    assert added.returncode == 0, added.stderr
    listed = run(programs, empty, "tritonface-server", "publish", "list", "--model-repository", repository)
    assert listed.stdout == "mine\n"
    rebuilt = run(programs, empty, "tritonface-server", "repository", "BlazeFace", "--model-repository", repository)
    assert rebuilt.returncode == 0 and str(repository / "BlazeFace_hpi") in rebuilt.stdout.splitlines()
    assert not list(empty.iterdir())
