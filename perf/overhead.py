"""What serving costs: the served path against the same functions called in one process, interleaved in one run.

python -m perf.overhead [--detector NAME] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime
from tritonface import FaceDetector, create_model

from serving.configs import CPU, CPU_THREADS
from serving.detections import Detections, select_detections
from serving.detectors import DETECTORS, Detector, get_detector
from serving.images import decode_image, limit_threads, resize
from serving.repository import ROOT, network_file
from serving.server import Endpoints, TritonServer

PHOTO = ROOT / "demo" / "photos" / "solvay_1927.jpg"
THRESHOLD = 0.5
IMAGES_PER_ROUND = 60
IN_FLIGHT = 8


class InProcess:
    """Decode, resize, network and NMS without a server, with as many threads as the server's configuration has."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(CPU_THREADS)
        self.session = onnxruntime.InferenceSession(network_file(detector), options, providers=["CPUExecutionProvider"])
        limit_threads(1)

    def __call__(self, encoded: bytes) -> Detections:
        """Detect the faces of one encoded image."""
        image = decode_image(encoded)
        picture = resize(image, self.detector.input_size_wh, self.detector.interpolation)
        boxes, scores = self.session.run(["boxes", "scores"], {"picture": picture[None]})
        return select_detections(
            boxes[0],
            scores[0],
            network_size_wh=self.detector.input_size_wh,
            original_size_wh=image.shape[1::-1],
            threshold=THRESHOLD,
            settings=self.detector.nms,
        )


def measure(detector: Detector, model: FaceDetector, rounds: int) -> dict[str, float]:
    """Median latency one by one and throughput at saturation, both ways, in alternating rounds."""
    encoded = PHOTO.read_bytes()
    bare = InProcess(detector)
    one_by_one = {"in-process": lambda: bare(encoded), "served": lambda: list(model.predict(PHOTO))}
    latencies_ms: dict[str, list[float]] = {name: [] for name in one_by_one}
    images_per_s: dict[str, list[float]] = {name: [] for name in one_by_one}
    with ThreadPoolExecutor(CPU.detector_instances) as pool:
        saturated = {
            "in-process": lambda: list(pool.map(bare, [encoded] * IMAGES_PER_ROUND)),
            "served": lambda: list(model.predict([PHOTO] * IMAGES_PER_ROUND, batch_size=IN_FLIGHT)),
        }
        for call in (*one_by_one.values(), *saturated.values()):
            call()
        for _ in range(rounds):
            for name in one_by_one:
                latencies_ms[name] += [seconds(one_by_one[name]) * 1e3 for _ in range(IMAGES_PER_ROUND // 3)]
                images_per_s[name].append(IMAGES_PER_ROUND / seconds(saturated[name]))
    bare_ms, served_ms = (statistics.median(latencies_ms[name]) for name in one_by_one)
    bare_rate, served_rate = (statistics.median(images_per_s[name]) for name in one_by_one)
    return {
        "in-process p50, ms": bare_ms,
        "served p50, ms": served_ms,
        "overhead per request, ms": served_ms - bare_ms,
        "in-process images/s": bare_rate,
        "served images/s": served_rate,
        "served / in-process throughput": served_rate / bare_rate,
    }


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--detector", choices=DETECTORS, default="BlazeFace")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        TritonServer(endpoints=Endpoints.free(), log=Path(folder, "log")) as server,
        create_model(options.detector, url=server.endpoints.grpc, threshold=THRESHOLD) as model,
    ):
        figures = measure(get_detector(options.detector), model, options.rounds)
    print(f"{options.detector}, {PHOTO.name}, gRPC, {os.cpu_count()} cores, {IN_FLIGHT} in flight\n")
    print("\n".join(f"| {name} | {figure:.2f} |" for name, figure in figures.items()))
    report = Path("output", "perf", f"overhead_{options.detector}.json")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(figures, indent=2))
    print(f"\n{report}")


if __name__ == "__main__":
    main()
