"""The comparison itself: what is served and all its peers take turns, round by round, in one session.

Throughputs are measured at saturation, latencies one request at a time. The machine's mood changes over minutes, so
only ratios within a round mean something; `perf.ratios` takes their medians.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient import grpc

from perf import perf_analyzer, sdk_caller
from perf.machine import cores
from perf.peers import client_side, high_stability, in_process, paddlex_peer
from perf.photos import TYPICAL_MEGAPIXELS, photo
from perf.settings import IN_FLIGHT, VARIANTS, Settings
from perf.workers import Workers
from training.paths import MODEL_REPOSITORY
from tritonface import create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.repository import read_detector
from tritonface_server.server import TritonServer

CLIENTS_PER_CORE = 2
SETTLE_S = 0.2  # threads that spin while they wait for work give up by then

Measure = Callable[[], float]


@dataclass(frozen=True)
class Contest:
    """What takes turns: measurements of throughput, images/s, and of latency, median ms, by name."""

    images_per_s: dict[str, Measure]
    latency_ms: dict[str, Measure]


def compare(server: TritonServer, settings: Settings, paddlex: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """All detectors and variants: `{detector: {variant: {"images_per_s" or "latency_ms": {name: [per round]}}}}`."""
    detectors = [read_detector(MODEL_REPOSITORY, name) for name in settings.detectors]
    encoded = photo(TYPICAL_MEGAPIXELS)
    results: dict[str, Any] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tritonface-bench-")))
        rival_models = high_stability.write_repository(detectors, VARIANTS, cores(), folder / "high_stability")
        log = folder / "high_stability.log"
        rival = stack.enter_context(TritonServer(rival_models, Endpoints.free(), log=log, access=perf_analyzer.ACCESS))
        for name in settings.detectors:
            results[name] = {}
            with ExitStack() as peers:
                paddlex_rates = _paddlex(peers, name, encoded, settings.slot_s, folder) if paddlex else {}
                for variant in settings.variants:
                    with ExitStack() as workers:
                        contest = _contest(workers, name, variant, server, rival, settings, encoded, folder)
                        contest.images_per_s.update(paddlex_rates)
                        say(f"{name} {variant}")
                        results[name][variant] = take_turns(contest, settings.rounds)
    return results


def take_turns(contest: Contest, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measure everything once per round, in turn forwards and backwards, so that no one always follows the same."""
    figures: dict[str, dict[str, list[float]]] = {
        "images_per_s": {name: [] for name in contest.images_per_s},
        "latency_ms": {name: [] for name in contest.latency_ms},
    }
    for number in range(rounds):
        for kind, measures in (("latency_ms", contest.latency_ms), ("images_per_s", contest.images_per_s)):
            names = list(measures)
            for name in reversed(names) if number % 2 else names:
                figures[kind][name].append(measures[name]())
                time.sleep(SETTLE_S)
    return figures


def _contest(
    stack: ExitStack,
    name: str,
    variant: str,
    server: TritonServer,
    rival: TritonServer,
    settings: Settings,
    encoded: bytes,
    folder: Path,
) -> Contest:
    detector, url, slot_s, count = (
        read_detector(MODEL_REPOSITORY, name),
        server.endpoints.grpc,
        settings.slot_s,
        cores(),
    )
    served = name if variant == "normal" else f"{name}_hpi"
    image_file = perf_analyzer.write_input("image", [encoded], folder / "image.json")
    body_file = perf_analyzer.write_input("input", [high_stability.request_body(encoded)], folder / "body.json")

    def bare(processes: int, per_process: int) -> Workers:
        return stack.enter_context(Workers(in_process.make_call, (name, variant, per_process, encoded), processes))

    def analyzer(model: str, at: str, file: Path, concurrency: int, figure: str) -> Measure:
        window_s = settings.window_s if concurrency > 1 else settings.slot_s / 3
        return lambda: getattr(
            perf_analyzer.measure(model, at, file, concurrency=concurrency, window_s=max(window_s, 0.5)), figure
        )

    many, one = bare(count, 1), bare(1, count)
    arguments = (name, variant, url, encoded)
    clients = stack.enter_context(Workers(client_side.make_call, arguments, count, CLIENTS_PER_CORE))
    _send_one(rival.endpoints.grpc, high_stability.model_name(detector, variant), high_stability.request_body(encoded))
    sdk = stack.enter_context(create_model(name, use_hpip=variant == "hpi", url=url))
    photo_file = folder / "photo.jpg"
    photo_file.write_bytes(encoded)
    rival_name, rival_url = high_stability.model_name(detector, variant), rival.endpoints.grpc
    throughputs: dict[str, Measure] = {
        f"in process: {count} x 1 thread": lambda: many.calls_per_s(slot_s),
        f"in process: 1 x {count} threads": lambda: one.calls_per_s(slot_s),
        "served": analyzer(served, url, image_file, IN_FLIGHT, "images_per_s"),
        "SDK": lambda: sdk_caller.images_per_s(sdk, photo_file, slot_s),
        "client side": lambda: clients.calls_per_s(slot_s),
        "high stability": analyzer(rival_name, rival_url, body_file, IN_FLIGHT, "images_per_s"),
    }
    latencies: dict[str, Measure] = {
        "in process": lambda: statistics.median(one.latencies_ms(slot_s)),
        "served": analyzer(served, url, image_file, 1, "p50_ms"),
        "client side": lambda: statistics.median(clients.latencies_ms(slot_s)),
        "high stability": analyzer(rival_name, rival_url, body_file, 1, "p50_ms"),
    }
    if variant == "hpi":  # the rivals as they come, without a faster runtime
        usual = high_stability.model_name(detector, "normal")
        throughputs["high stability (normal)"] = analyzer(usual, rival_url, body_file, IN_FLIGHT, "images_per_s")
    return Contest(throughputs, latencies)


def _paddlex(stack: ExitStack, name: str, encoded: bytes, slot_s: float, folder: Path) -> dict[str, Measure]:
    """PaddleX as it comes and with as many threads as there are cores."""
    exported, image = paddlex_peer.export_folder(name, folder / f"paddlex-{name}"), folder / "photo.jpg"
    image.write_bytes(encoded)

    def rate(threads: int) -> Measure:
        log = folder / f"paddlex-{threads}.log"
        peer = stack.enter_context(paddlex_peer.PaddleX(name, exported, image, threads, log))
        return lambda: 1e3 / statistics.fmean(peer.latencies_ms(slot_s))

    return {"PaddleX: as it comes": rate(0), f"PaddleX: {cores()} threads": rate(cores())}


def _send_one(url: str, model: str, body: bytes) -> None:
    """A first request, which pays for memory and caches; the rival has no warm-up of its own."""
    tensor = grpc.InferInput("input", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[body]], object))
    with grpc.InferenceServerClient(url) as client:
        client.infer(model, [tensor])
