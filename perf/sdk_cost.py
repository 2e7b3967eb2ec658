"""What the SDK costs: its throughput against perf_analyzer's, processor time of the client for an image, the import.

python -m perf.sdk_cost [--detector BlazeFace_hpi] [--under-way 8] [--images 120] [--rounds 5]

Each round measures, one after the other and with as many requests under way: perf_analyzer, then one caller of the SDK
for each protocol, for a file and an array, with and without shared memory. Ratios are formed within a round. The
processor time is that of this process, all threads, user and system; the server's is not in it.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from perf import perf_analyzer
from perf.photos import TYPICAL_MEGAPIXELS, photo
from perf.settings import SETTLE_REQUESTS
from training.paths import MODEL_REPOSITORY
from tritonface import Connection, FaceDetector, create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer, undrained

ARRAY_WH = (1280, 720)
WINDOW_S = 2.0
IMPORTS = 9


class Cost(NamedTuple):
    """Of one caller: throughput, and milliseconds of processor time of this process for an image."""

    images_per_s: float
    cpu_ms: float


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="BlazeFace_hpi")
    parser.add_argument("--under-way", type=int, default=8)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tritonface-bench-")))
        log = folder / "tritonserver.log"
        server = TritonServer(MODEL_REPOSITORY, Endpoints.free(), log=log, access=perf_analyzer.ACCESS)
        stack.enter_context(undrained(server))
        callers = make_callers(stack, server, options.detector)
        file, array = write_inputs(folder)
        asked = perf_analyzer.write_input("image", [file.read_bytes()], folder / "input.json")
        rates: list[float] = []
        costs: dict[str, list[Cost]] = {}
        for _ in range(options.rounds):
            found = perf_analyzer.measure(
                options.detector, server.endpoints.grpc, asked, concurrency=options.under_way, window_s=WINDOW_S
            )
            rates.append(found.images_per_s)
            for name, model in callers.items():
                for kind, image in (("file", file), ("array", array)):
                    row = cost(model, image, options.images, options.under_way)
                    costs.setdefault(f"{kind}, {name}", []).append(row)
    print(f"{options.detector}, {options.under_way} under way, perf_analyzer: {statistics.median(rates):.1f} images/s")
    print("| | images/s / perf_analyzer's | CPU of the client, ms an image |\n|---|---|---|")
    for name, rows in costs.items():
        ratio = statistics.median(row.images_per_s / rate for row, rate in zip(rows, rates))
        print(f"| {name} | {ratio:.2f} | {statistics.median(row.cpu_ms for row in rows):.2f} |")
    print(f"import tritonface: {statistics.median(import_s() for _ in range(IMPORTS)):.3f} s")


def make_callers(stack: ExitStack, server: TritonServer, detector: str) -> dict[str, FaceDetector]:
    """A model for each protocol, with and without shared memory."""
    name, is_hpi = detector.removesuffix("_hpi"), detector.endswith("_hpi")
    callers = {}
    for protocol in ("grpc", "http"):
        for shared in (False, True):
            url = getattr(server.endpoints, protocol)
            connection = Connection(url, protocol, shared_memory=shared, key=server.access.key)
            model = stack.enter_context(create_model(name, use_hpip=is_hpi, connection=connection))
            callers[f"{protocol}{', shared memory' if shared else ''}"] = model
    return callers


def write_inputs(folder: Path) -> tuple[Path, np.ndarray]:
    """The typical photo as a file, and an array of a 720p video's size."""
    file = folder / "typical.jpg"
    file.write_bytes(photo(TYPICAL_MEGAPIXELS))
    picture = cv2.imdecode(np.frombuffer(photo(TYPICAL_MEGAPIXELS), np.uint8), cv2.IMREAD_COLOR)
    width, height = ARRAY_WH
    return file, np.ascontiguousarray(picture[:height, :width])


def cost(model: FaceDetector, image: Path | np.ndarray, count: int, under_way: int) -> Cost:
    """Of `count` images, after some that do not count."""
    for _ in model.predict([image] * SETTLE_REQUESTS, batch_size=under_way):
        pass
    began_s, cpu_s = time.perf_counter(), time.process_time()
    for _ in model.predict([image] * count, batch_size=under_way):
        pass
    return Cost(count / (time.perf_counter() - began_s), 1e3 * (time.process_time() - cpu_s) / count)


def import_s() -> float:
    """Seconds of `import tritonface` in a new process, as Python itself counts them."""
    command = [sys.executable, "-X", "importtime", "-c", "import tritonface"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    (microseconds,) = re.findall(r"(\d+) \| tritonface$", told, re.MULTILINE)
    return float(microseconds) / 1e6


if __name__ == "__main__":
    main()
