"""On a machine with an NVIDIA GPU: what is served there as a fraction of the bare engine's throughput.

The wheel's server has no backend for GPUs, so a Triton that has must run already (NVIDIA's container,
`--model-config-name=gpu_tensorrt`); its address is given with `--gpu-server host:port` (gRPC). None of this has been
run: there was no GPU.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from perf import perf_analyzer
from perf.machine import gpus
from perf.photos import TYPICAL_MEGAPIXELS, photo
from perf.settings import WATCHED, Settings
from perf.workers import repeat
from training.paths import MODEL_REPOSITORY, shipped_network
from tritonface_server.repository import read_detector
from tritonface_server.tensorrt import TRTEXEC

BATCH = 8
CONCURRENCIES = (16, 64)


def measure(settings: Settings, server_url: str | None) -> dict[str, Any]:
    """Images/s of the bare engines and of the server, and their ratios; or {"skipped": why}."""
    if not gpus():
        return {"skipped": "no NVIDIA GPU is visible on this machine (nvidia-smi), so nothing was measured on one"}
    results: dict[str, Any] = {"bare": {"normal": bare_onnxruntime(settings), "hpi": bare_tensorrt()}, "served": {}}
    if server_url is None:
        results["note"] = "the server on the GPU was not measured: give its address with --gpu-server host:port"
        return results
    with tempfile.TemporaryDirectory() as folder:
        images = perf_analyzer.write_input("image", [photo(TYPICAL_MEGAPIXELS)], Path(folder, "images.json"))
        for variant, model in (("normal", WATCHED), ("hpi", f"{WATCHED}_hpi")):
            results["served"][variant] = max(
                perf_analyzer.measure(
                    model, server_url, images, concurrency=count, window_s=settings.window_s
                ).images_per_s
                for count in CONCURRENCIES
            )
    results["fraction"] = {
        variant: results["served"][variant] / bare for variant, bare in results["bare"].items() if bare
    }
    return results


def bare_onnxruntime(settings: Settings) -> float | None:
    """Images/s of ONNX Runtime with CUDA in this process; None if this build of it has no CUDA."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return None
    detector = read_detector(MODEL_REPOSITORY, WATCHED)
    width, height = detector.input_size_wh
    session = onnxruntime.InferenceSession(shipped_network(detector.name), providers=["CUDAExecutionProvider"])
    pictures = np.zeros((BATCH, height, width, 3), np.uint8)
    times_ms = repeat(lambda: session.run(None, {"picture": pictures}), settings.slot_s)
    return BATCH * len(times_ms) / sum(times_ms) * 1e3


def bare_tensorrt() -> float | None:
    """Images/s of the TensorRT engine by trtexec; None without trtexec or engine."""
    engines = sorted((MODEL_REPOSITORY / f"{WATCHED}_hpi_detector" / "1").glob("*.plan"))
    if not TRTEXEC.is_file() or not engines:
        return None
    width, height = read_detector(MODEL_REPOSITORY, WATCHED).input_size_wh
    shape = f"--shapes=picture:{BATCH}x{height}x{width}x3"
    outcome = subprocess.run([TRTEXEC, f"--loadEngine={engines[0]}", shape], capture_output=True, text=True)
    return read_trtexec(outcome.stdout, BATCH)


def read_trtexec(printed: str, batch: int) -> float | None:
    """Images/s from trtexec's line "Throughput: ... qps"; None if there is none."""
    match = re.search(r"Throughput: ([\d.]+) qps", printed)
    return float(match[1]) * batch if match else None
