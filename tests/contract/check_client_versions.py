"""The wheel of the SDK alone in empty environments, with old and new Pythons and packages, against a real server.

python -m tests.contract.check_client_versions [--python PYTHON ...]

For every interpreter and every set of packages it knows: build, install, import in under half a second without
OpenCV, Paddle or anything of the project's other parts, predict over gRPC and HTTP, run the command. It needs a package
index, hence it is no part of `make test`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from training.paths import MODEL_REPOSITORY, ROOT
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

PHOTO = ROOT / "demo" / "photos" / "solvay_1927.jpg"
OLDEST = ["tritonclient==2.50.0", "numpy<2"]
SETS = {"oldest": OLDEST, "newest, numpy 1": ["numpy<2"], "newest": ["numpy>=2"]}
IMPORT_LIMIT_S = 0.5
IMPORT = """
import sys, time
started = time.perf_counter()
import tritonface
seconds = time.perf_counter() - started
wrong = {"cv2", "paddle", "tritonface_server", "training", "onnxruntime", "grpc", "gevent"} & set(sys.modules)
assert not wrong, wrong
print(seconds)
"""
PREDICT = """
import asyncio, sys, importlib.metadata as metadata
import numpy, tritonface
photo, *urls = sys.argv[1:]
counts = []
for protocol, url in zip(("grpc", "http"), urls):
    keyed = tritonface.Connection(url, protocol, headers={"X-Key": "value"})
    with tritonface.create_model("BlazeFace", connection=keyed) as model:
        counts += [len(result["boxes"]) for result in model.predict([photo] * 4, batch_size=2)]
        array = numpy.zeros((1080, 1920, 3), numpy.uint8)
        assert [result["boxes"] for result in model.predict([array])] == [[]]
    shared = tritonface.Connection(url, protocol, shared_memory=True)
    with tritonface.create_model("BlazeFace", connection=shared, max_side_px=800) as model:
        assert [result["boxes"] for result in model.predict([array, array])] == [[], []]
    async def run():
        async with tritonface.create_async_model("BlazeFace", protocol=protocol, url=url) as model:
            return [len(result["boxes"]) async for result in model.predict(photo)]
    counts += asyncio.run(run())
assert len(set(counts)) == 1 and counts[0] > 10, counts
print(*(f"{name} {metadata.version(name)}" for name in ("tritonclient", "numpy", "grpcio", "aiohttp", "pillow")))
"""


def check(python: str, wheel: Path, packages: list[str], ends: Endpoints) -> str:
    """What was installed; CalledProcessError with the output if anything fails."""
    with tempfile.TemporaryDirectory() as folder:
        _run(python, "-m", "venv", folder)
        inside = str(Path(folder, "bin", "python"))
        _run(inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel), *packages)
        _run(inside, "-c", IMPORT)  # compiles the packages
        seconds = min(float(_run(inside, "-c", IMPORT)) for _ in range(5))
        installed = _run(inside, "-W", "error", "-c", PREDICT, str(PHOTO), ends.grpc, ends.http)
        command = str(Path(folder, "bin", "tritonface"))
        _run(command, "predict", str(PHOTO), "--json", "--url", ends.grpc)
        if seconds > IMPORT_LIMIT_S:
            raise RuntimeError(f"import takes {seconds:.2f} s, the limit is {IMPORT_LIMIT_S} s")
        return f"import {seconds:.2f} s, {installed}"


def _run(*command: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tempfile.gettempdir())
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}\n{run.stdout}{run.stderr}")
    return run.stdout.strip().splitlines()[-1] if run.stdout.strip() else ""


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.contract.check_client_versions", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters; default: this one")
    parser.add_argument("--set", nargs="+", choices=SETS, default=list(SETS), dest="sets")
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
        source = shutil.copytree(ROOT / "client", Path(folder, "client"), ignore=ignored)
        pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        _run(*pip_wheel, "-w", folder, str(source))
        (wheel,) = Path(folder).glob("*.whl")
        with TritonServer(MODEL_REPOSITORY, Endpoints.free(), log=Path(folder, "log")) as server:
            for python in options.python:
                python = str(Path(shutil.which(python) or python).absolute())
                version = _run(python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])")
                for name in options.sets:
                    try:
                        outcome = check(python, wheel, SETS[name], server.endpoints)
                    except RuntimeError as error:
                        outcome, failed = f"FAILED: {error}", True
                    print(f"Python {version}, {name}: {outcome}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
