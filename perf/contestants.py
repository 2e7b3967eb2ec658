"""Who takes part in the comparison of one detector, and how each is measured once.

Those that take one image after the other tell their latency and their throughput from one slot; those that take many at
once are measured with one request under way, and with eight.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tritonclient import grpc

from perf import perf_analyzer, sdk_caller
from perf.machine import cores
from perf.peers import client_side, high_stability, in_process, paddlex_peer, triton_alone
from perf.settings import IN_FLIGHT, RATE, TIME, Settings
from perf.workers import Workers
from tritonface import create_model
from tritonface_server.detector import Detector
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer, undrained

CLIENTS_PER_CORE = 2
LOOK_S = 0.5
MOST_STRETCH = 3
"""How much longer a slot may last for the sake of enough requests."""


@dataclass(frozen=True)
class Turn:
    """One measurement, made once in every round.

    Attributes:
        names: of the contestant, by the variants of the detector in whose tables it stands.
        measure: returns throughput, images/s, under `RATE`, median latency in ms under `TIME`, or both.
    """

    names: dict[str, str]
    measure: Callable[[], dict[str, float]]


class Contestants:
    """Makes the turns of one detector; what it starts ends with the stack.

    Args:
        encoded: the photo that all get.
        folder: for temporary files.
    """

    def __init__(self, stack: ExitStack, detector: Detector, settings: Settings, encoded: bytes, folder: Path) -> None:
        self.stack, self.detector, self.settings, self.encoded, self.folder = stack, detector, settings, encoded, folder
        self.photo = folder / "photo.jpg"
        self.photo.write_bytes(encoded)
        self.image = perf_analyzer.write_input("image", [encoded], folder / "image.json")
        self._alone_s: dict[str, float] = {}

    def in_process(self, variant: str) -> list[Turn]:
        """One process with all cores, and as many of one thread as there are cores; come before the others."""
        count = cores()
        one = self._workers(in_process.make_call, (self.detector.name, variant, count, self.encoded), 1)
        self._alone_s[variant] = statistics.median(one.latencies_ms(LOOK_S)) / 1e3
        slot_s = self._slot_s(variant)
        turns = [
            Turn(
                {variant: f"in process: 1 x {count} thread{'s' if count > 1 else ''}"},
                lambda: serial(one.latencies_ms(slot_s)),
            )
        ]
        if count > 1:
            many = self._workers(in_process.make_call, (self.detector.name, variant, 1, self.encoded), count)
            name = f"in process: {count} x 1 thread"
            turns.append(Turn({variant: name}, lambda: {RATE: many.calls_per_s(slot_s)}))
        return turns

    def served(self, variant: str, server: TritonServer) -> list[Turn]:
        """What is served, asked by perf_analyzer."""
        model = f"{self.detector.name}_hpi" if variant == "hpi" else self.detector.name
        url, settle = server.endpoints.grpc, self.settings.settle_requests
        return self._analyzed({variant: "served"}, variant, model, url, self.image, settle)

    def sdk(self, variant: str, server: TritonServer) -> list[Turn]:
        """One caller of the SDK."""
        model = self.stack.enter_context(
            create_model(self.detector.name, use_hpip=variant == "hpi", url=server.endpoints.grpc)
        )
        how = self._slot_s(variant), IN_FLIGHT, self.settings.settle_requests
        return [Turn({variant: "SDK"}, lambda: {RATE: sdk_caller.images_per_s(model, self.photo, *how)})]

    def client_side(self, variant: str, server: TritonServer) -> list[Turn]:
        """All but the network in the client."""
        arguments = (self.detector.name, variant, server.endpoints.grpc, self.encoded)
        clients = self._workers(client_side.make_call, arguments, cores(), CLIENTS_PER_CORE)
        slot_s, settle_s = self._slot_s(variant), self.settings.settle_requests * self._alone_s[variant]

        def alone() -> dict[str, float]:
            clients.latencies_ms(settle_s)
            return {TIME: statistics.median(clients.latencies_ms(slot_s))}

        def many() -> dict[str, float]:
            clients.calls_per_s(settle_s / cores())
            return {RATE: clients.calls_per_s(slot_s)}

        return [Turn({variant: "client side"}, alone), Turn({variant: "client side"}, many)]

    def high_stability(self, variant: str, rival: TritonServer) -> list[Turn]:
        """The service built as PaddleX's; with the usual runtime, as it comes, it is a rival of the hpi variant too."""
        model, body = high_stability.model_name(self.detector, variant), high_stability.request_body(self.encoded)
        file = perf_analyzer.write_input("input", [body], self.folder / "body.json")
        send_one(rival.endpoints.grpc, model, body)
        names = {"normal": "high stability", "hpi": "high stability (normal)"} if variant == "normal" else {}
        names = names or {variant: "high stability"}
        return self._analyzed(names, variant, model, rival.endpoints.grpc, file, 1)

    def triton_alone(self, server: TritonServer) -> list[Turn]:
        """What of a lone request is not computing; the same for both variants, as the same tensors travel."""
        source = server.repositories.folders[0]
        folder = self.folder / "triton_alone"
        busy_ms = triton_alone.write_repository(source, self.detector.name, server.endpoints.grpc, self.encoded, folder)
        log = self.folder / "triton_alone.log"
        alone = self.stack.enter_context(
            undrained(TritonServer(folder, Endpoints.free(), log=log, access=perf_analyzer.ACCESS))
        )

        def measure() -> dict[str, float]:
            lone = perf_analyzer.measure(
                self.detector.name,
                alone.endpoints.grpc,
                self.image,
                concurrency=1,
                window_s=self.settings.slot_s / 2 / perf_analyzer.WINDOWS,
                settle_requests=1,
            )
            return {TIME: lone.p50_ms - busy_ms}

        return [Turn(dict.fromkeys(self.settings.variants, "Triton alone"), measure)]

    def paddlex(self) -> list[Turn]:
        """PaddleX's `predict` as it comes and with as many threads as there are cores.

        Raises:
            PaddleXError: it cannot be set up, or refuses the detector.
        """
        exported = paddlex_peer.export_folder(self.detector.name, self.folder / "paddlex")
        slot_s, turns = self._slot_s(self.settings.variants[0]), []
        for name, threads in (("as it comes", 0), (f"{cores()} threads", cores())):
            log = self.folder / f"paddlex-{threads}.log"
            peer = self.stack.enter_context(
                paddlex_peer.PaddleX(self.detector.name, exported, self.photo, threads, log)
            )
            names = dict.fromkeys(self.settings.variants, f"PaddleX: {name}")
            turns.append(Turn(names, lambda peer=peer: serial(peer.latencies_ms(slot_s))))
        return turns

    def _workers(self, make_call: Callable, arguments: tuple, processes: int, threads: int = 1) -> Workers:
        return self.stack.enter_context(Workers(make_call, arguments, processes, threads))

    def _slot_s(self, variant: str) -> float:
        return self._stretched_s(self.settings.slot_s, variant)

    def _stretched_s(self, usual_s: float, variant: str) -> float:
        """So long that it holds enough requests of a lone caller, within reason."""
        alone_s = self._alone_s.get(variant, max(self._alone_s.values()))  # not in process, if it is not wanted
        return min(max(usual_s, self.settings.least_requests * alone_s), MOST_STRETCH * usual_s)

    def _analyzed(
        self, names: dict[str, str], variant: str, model: str, url: str, file: Path, settle: int
    ) -> list[Turn]:
        """One request under way, then eight."""
        alone_s = self._slot_s(variant) / perf_analyzer.WINDOWS
        many_s = self._stretched_s(self.settings.window_s, variant)

        def measure(concurrency: int, window_s: float) -> perf_analyzer.Measurement:
            return perf_analyzer.measure(
                model, url, file, concurrency=concurrency, window_s=window_s, settle_requests=settle
            )

        return [
            Turn(names, lambda: {TIME: measure(1, alone_s).p50_ms}),
            Turn(names, lambda: {RATE: measure(IN_FLIGHT, many_s).images_per_s}),
        ]


def serial(times_ms: list[float]) -> dict[str, float]:
    """Both figures of one who takes one image after the other."""
    return {TIME: statistics.median(times_ms), RATE: 1e3 / statistics.fmean(times_ms)}


def send_one(url: str, model: str, body: bytes) -> None:
    """A first request, which pays for memory and caches; the rival has no warm-up of its own."""
    tensor = grpc.InferInput("input", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[body]], object))
    with grpc.InferenceServerClient(url) as client:
        client.infer(model, [tensor])
