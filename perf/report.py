"""One table: every detector against everything it must satisfy, and how much faster its high-performance variant is.

python -m perf.report [--output FILE]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from training.detectors import DETECTORS
from training.paths import MODEL_REPOSITORY, ROOT
from tritonface import create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

COLUMNS = {
    "golden eval": ["tests/parity/test_golden.py"],
    "golden losses": ["tests/parity/test_losses.py"],
    "ONNX = Paddle": ["tests/parity/test_onnx.py"],
    "TensorRT rules": ["tests/parity/test_tensorrt_graph.py"],
    "PaddleX folder": ["tests/parity/test_paddlex_folder.py"],
    "ensemble = in-process": ["tests/functional/L0_all_detectors"],
    "hpi within tolerance": ["tests/functional/L0_hpi"],
}
HPI_TEST = "test_the_same_faces"
PHOTO = ROOT / "demo" / "photos" / "solvay_1927.jpg"
ROUNDS, REQUESTS_PER_ROUND = 7, 6


def run_tests() -> dict[tuple[str, str], tuple[int, int]]:
    """Run the tests of all columns: `{(detector, column): (passed, failed)}`."""
    paths = sorted({path for paths in COLUMNS.values() for path in paths})
    counts = {(name, column): (0, 0) for name in DETECTORS for column in COLUMNS}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "--quiet", f"--junit-xml={report}", *paths]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        cases = list(ElementTree.parse(report).iter("testcase"))
    for case in cases:
        detector = next((name for name in sorted(DETECTORS, key=len, reverse=True) if name in case.get("name")), None)
        if detector is None or case.find("skipped") is not None:
            continue
        failed = case.find("failure") is not None or case.find("error") is not None
        for column in columns_of(case.get("classname").replace(".", "/"), case.get("name").split("[")[0]):
            good, bad = counts[detector, column]
            counts[detector, column] = (good + (not failed), bad + failed)
    return counts


def columns_of(module: str, test: str) -> list[str]:
    """The columns that a test speaks for."""
    about_hpi = test == HPI_TEST
    return [
        column
        for column, paths in COLUMNS.items()
        if any(module.startswith(path.removesuffix(".py")) for path in paths)
        and (about_hpi == (column == "hpi within tolerance") or "functional" not in module)
    ]


def measure_variants() -> dict[str, tuple[float, float]]:
    """Median milliseconds of one served request, normal and high-performance, measured in alternating rounds."""
    figures = {}
    with (
        tempfile.TemporaryDirectory() as temporary,
        TritonServer(MODEL_REPOSITORY, Endpoints.free(), log=Path(temporary, "log"), detectors=[*DETECTORS]) as server,
    ):
        for name in DETECTORS:
            models = [create_model(name, url=server.endpoints.grpc, use_hpip=hpi) for hpi in (False, True)]
            times_ms: tuple[list[float], list[float]] = ([], [])
            for _ in range(ROUNDS):
                for model, times in zip(models, times_ms):
                    next(model.predict(PHOTO))
                    times += [request_ms(model) for _ in range(REQUESTS_PER_ROUND)]
            for model in models:
                model.close()
            figures[name] = (statistics.median(times_ms[0]), statistics.median(times_ms[1]))
    return figures


def request_ms(model) -> float:
    """Wall time of one request."""
    started = time.perf_counter()
    next(model.predict(PHOTO))
    return (time.perf_counter() - started) * 1e3


def main() -> int:
    """The command line; returns 1 if a cell is not green."""
    parser = argparse.ArgumentParser(prog="python -m perf.report", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("output", "perf", "detectors.md"))
    output = parser.parse_args().output
    counts, speeds = run_tests(), measure_variants()
    titles = ["detector", *COLUMNS, "normal, ms", "hpi, ms", "hpi is faster"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    green = True
    for name in DETECTORS:
        cells = []
        for column in COLUMNS:
            good, bad = counts[name, column]
            green &= good > 0 and bad == 0
            cells.append(f"{good} passed" if good and not bad else f"**{bad} of {good + bad} failed**")
        normal_ms, hpi_ms = speeds[name]
        green &= hpi_ms < normal_ms
        cells += [f"{normal_ms:.1f}", f"{hpi_ms:.1f}", f"{normal_ms / hpi_ms:.2f} x"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(f"\nOne request at a time over gRPC, {PHOTO.name}, 640x640, {os.cpu_count()} cores.")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    print(f"\n{output}")
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main())
