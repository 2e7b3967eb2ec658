"""Both distributions as users would get them: built, checked, installed in clean environments and tried.

python -m tests.contract.check_release [--python 3.10 ...]

Sdists and wheels are built (each wheel from its sdist) into output/release, checked by twine, CITATION.cff by
cffconvert. For every Python that is found both wheels go into an empty environment, with the newest packages that they
allow, and from an empty folder a real server is started, asked by the SDK and the command, and stopped. It needs a
package index, hence it is no part of `make test`. Exit code 1: something failed, or no Python was found.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.detectors import DETECTORS
from training.paths import MODEL_REPOSITORY, ROOT
from tritonface_server.endpoints import Endpoints

OUTPUT = ROOT / "output" / "release"
TOOLS = ROOT / "build" / "release" / "bin"
PHOTO = ROOT / "demo" / "photos" / "solvay_1927.jpg"
VERSION = (ROOT / "VERSION").read_text().strip()
START_LIMIT_S = 120
SDK = """
import sys, tritonface
photo, url = sys.argv[1:]
with tritonface.create_model("BlazeFace", url=url) as model:
    (result,) = model.predict(photo)
print(tritonface.__version__, len(result))
"""


class CheckError(Exception):
    """A command that failed, with what it said."""


def build() -> list[Path]:
    """Make and check sdists and wheels of both distributions; the wheels."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("client", "server"):
            ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
            source = shutil.copytree(ROOT / name, Path(folder, name), ignore=ignored)
            run(TOOLS / "pyproject-build", "--no-isolation", "--outdir", OUTPUT, source)
    files = sorted(OUTPUT.iterdir())
    stems = (f"tritonface-{VERSION}", f"tritonface_server-{VERSION}")
    if [file.name for file in files] != [stem + end for stem in stems for end in ("-py3-none-any.whl", ".tar.gz")]:
        raise CheckError(f"built {[file.name for file in files]}, not {' and '.join(stems)}")
    print(run(TOOLS / "twine", "check", "--strict", *files), end="")
    print(run(TOOLS / "cffconvert", "--validate", "--infile", ROOT / "CITATION.cff"), end="")
    return [file for file in files if file.suffix == ".whl"]


def try_out(python: str, wheels: list[Path]) -> str:
    """Install and use the wheels in an environment of their own; what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        environment, empty = Path(folder, "environment"), Path(folder, "empty")
        empty.mkdir()
        run(TOOLS / "uv", "venv", "--quiet", "--python", python, environment)
        inside = environment / "bin"
        run(TOOLS / "uv", "pip", "install", "--quiet", "--python", inside / "python", *wheels)
        with served(inside, empty) as (ends, seconds):
            version, faces = run(inside / "python", "-c", SDK, PHOTO, ends.grpc, cwd=empty).split()
            if version != VERSION or int(faces) < 10:
                raise CheckError(f"version {version} found {faces} faces")
            over_http = ("--protocol", "http", "--url", ends.http)
            said = run(inside / "tritonface", "predict", PHOTO, "--model", "BlazeFace", "--json", *over_http, cwd=empty)
            if len(json.loads(said)["boxes"]) != int(faces):
                raise CheckError(f"the command found other faces over HTTP: {said}")
            names = [word for name in DETECTORS for word in ("--model", name, "--model", f"{name}_hpi")]
            run(inside / "tritonface", "health", "--probe", "--json", *names, "--url", ends.grpc, cwd=empty)
        if list(empty.iterdir()):
            raise CheckError(f"files were left in the current folder: {list(empty.iterdir())}")
        full = run(inside / "python", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])").strip()
        return f"{full}: server ready after {seconds:.0f} s, {faces} faces by SDK and command, a face by each detector"


@contextmanager
def served(inside: Path, empty: Path) -> Iterator[tuple[Endpoints, float]]:
    """The project's models, served by the installed command from an empty folder; how long the start took."""
    ends = Endpoints.free()
    ports = [f"--{purpose}-port={port}" for purpose, port in ends.ports.items()]
    command = [inside / "tritonface-server", "serve", "--model-repository", MODEL_REPOSITORY, *ports]
    with Path(empty.parent, "server.log").open("w+") as log:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=empty, env=clean(), stdout=log, stderr=subprocess.STDOUT)
        try:
            while "\nready" not in f"\n{Path(log.name).read_text()}":
                if process.poll() is not None or time.monotonic() - started > START_LIMIT_S:
                    raise CheckError(f"the server did not start:\n{Path(log.name).read_text()}")
                time.sleep(0.1)
            yield ends, time.monotonic() - started
            process.send_signal(signal.SIGINT)
            if process.wait(60):
                raise CheckError(f"the server ended with {process.returncode}:\n{Path(log.name).read_text()}")
        finally:
            process.kill()
            process.wait()


def clean() -> dict[str, str]:
    """Environment variables without a hint at the checkout."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command prints; CheckError if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=clean(), cwd=cwd)
    if done.returncode:
        raise CheckError(f"{' '.join(map(str, command))[:200]}\n{done.stdout}{done.stderr}")
    return done.stdout


def found(python: str) -> str | None:
    """Such an interpreter on this machine, in PATH or pyenv's; none is downloaded."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for path in (python, f"python{python}", *map(str, sorted(pyenv.glob(f"{python}*/bin/python")))):
        try:
            run(path, "-c", "import venv")
        except (CheckError, OSError):
            continue
        return path
    return None


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.check_release", description=__doc__.splitlines()[0])
    parser.add_argument("--python", nargs="+", default=["3.10", "3.11", "3.12"], help="versions or paths")
    options = parser.parse_args()
    good = 0
    failed = False
    try:
        wheels = build()
    except CheckError as error:
        print(f"FAILED: {error}")
        return 1
    for python in options.python:
        interpreter = found(python)
        if interpreter is None:
            print(f"Python {python}: not run, there is none on this machine", flush=True)
            continue
        try:
            print(f"Python {try_out(interpreter, wheels)}", flush=True)
            good += 1
        except CheckError as error:
            print(f"Python {python}: FAILED: {error}", flush=True)
            failed = True
    return int(failed or not good)


if __name__ == "__main__":
    sys.exit(main())
