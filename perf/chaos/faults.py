"""Processes that are killed, stopped or ended under callers that never stop: what is lost, and for how long."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import psutil

from perf.chaos.callers import Callers
from perf.chaos.launched import Launched
from perf.chaos.row import Promise, Row
from perf.photos import PORTRAIT, encode
from perf.settings import WATCHED
from training.paths import MODEL_REPOSITORY
from tritonface_server.served_models import preprocess_of
from tritonface_server.server import DRAIN_TIMEOUT_S, EXIT_TIMEOUT_S

NORMAL, HPI = WATCHED, f"{WATCHED}_hpi"
BEFORE_S, AFTER_S = 2.0, 8.0
POLL_S = 0.02
CALLERS = 8

Fault = Callable[[Launched], None]


class Readiness:
    """What readiness says of the server and of a model, watched from a thread: when it first fails, when it is back."""

    def __init__(self, server: Launched, model: str) -> None:
        self.server, self.model = server, model
        self.told_at: float | None = None
        self.back_at: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            ready = self.server.is_ready() and self.server.is_ready(self.model)
            if not ready and self.told_at is None:
                self.told_at = time.monotonic()
            if ready and self.told_at is not None and self.back_at is None:
                self.back_at = time.monotonic()

    def stop(self) -> None:
        """Watch no longer."""
        self._stop.set()
        self._thread.join()


def under_load(
    server: Launched, name: str, fault: Fault, photos: list[Path], spared: Sequence[str], **bounds: float
) -> Row:
    """Something happens to a running server that 8 callers of each variant ask, over both protocols.

    Args:
        spared: variants that must go on as if nothing had happened; the other ones may pause.
        bounds: the longest pause, `goes_on_s` of those that are spared, `back_s` of the others; `told_s`, until
            readiness tells; `same`, where all processes must stay but for so many.
    """
    with Callers(server.endpoints, photos, [NORMAL, HPI], CALLERS) as callers:
        time.sleep(BEFORE_S)
        undisturbed = time.monotonic()
        time.sleep(AFTER_S)
        readiness, processes = Readiness(server, NORMAL), pids(server)
        since = time.monotonic()
        fault(server)
        time.sleep(max(AFTER_S, bounds.get("back_s", 0) * 2))
        until = time.monotonic()
        readiness.stop()
    promises, usual_s = [Promise("lost", callers.lost, 0)], []
    for model in (NORMAL, HPI):
        bound = bounds["goes_on_s"] if model in spared else bounds["back_s"]
        usual_s.append(max(seen.gap_s(undisturbed, since) for seen in callers.of(model)))
        pause_s = max(seen.gap_s(since, until) for seen in callers.of(model))
        promises.append(Promise(f"pause of {model}", pause_s, bound, "s"))
    if "told_s" in bounds:
        told_s = (readiness.told_at or until) - since
        promises.append(Promise("readiness tells after", told_s, bounds["told_s"], "s"))
    if "same" in bounds:
        promises.append(Promise("processes replaced", len(processes - pids(server)), bounds["same"]))
    answered = sum(len(seen.answers_at) for seen in callers.seen.values())
    slowest_s = max(seen.slowest_s for seen in callers.seen.values())
    failed = [f"{count} x {message}" for message, count in callers.failures.most_common(3)]
    notes = [
        "longest pauses before it, undisturbed: " + ", ".join(f"{pause_s:.2f} s" for pause_s in usual_s),
        f"{answered} answers, the slowest call took {slowest_s:.1f} s",
        *failed,
    ]
    return Row(name, f"{CALLERS} SDK callers a variant, gRPC and HTTP", promises, notes)


def pids(server: Launched) -> set[int]:
    """Of tritonserver and the processes of its models."""
    return {server.server.pid, *(child.pid for child in server.server.children())}


def model_of(step: str) -> str:
    """The model of a step of the watched detector, which may be one that it shares with others."""
    shared = preprocess_of(MODEL_REPOSITORY, WATCHED)
    return shared if shared and step == "preprocess" else f"{WATCHED}_{step}"


def kill_stubs(step: str, count: int | None = None) -> Fault:
    """kill -9 of so many processes of one step; None for all."""

    def fault(server: Launched) -> None:
        for stub in server.stubs(model_of(step))[:count]:
            stub.kill()

    return fault


def stop_a_stub(step: str, seconds: float) -> Fault:
    """SIGSTOP of a process of one step, SIGCONT later."""

    def fault(server: Launched) -> None:
        stub = server.stubs(model_of(step))[0]
        stub.suspend()
        threading.Timer(seconds, stub.resume).start()

    return fault


def kill_the_server(server: Launched) -> None:
    """kill -9 of tritonserver."""
    server.server.kill()


def kill_the_launcher(server: Launched, photos: list[Path]) -> Row:
    """kill -9 of the launcher: nothing of it may stay."""
    with Callers(server.endpoints, photos, [NORMAL], CALLERS, retries=0) as callers:
        time.sleep(BEFORE_S)
        psutil.Process(server.pid).kill()
        wait(server, 10)
        started = time.monotonic()
        while server.family() and time.monotonic() < started + 20:
            time.sleep(POLL_S)
        gone_s = time.monotonic() - started
        callers.stopping.set()
    promises = [
        Promise("processes left", len(server.family()), 0),
        Promise("gone after", gone_s, EXIT_TIMEOUT_S + 2, "s"),
        Promise("wrong", callers.wrong, 0),
    ]
    return Row("kill -9 of the launcher", f"{CALLERS} SDK callers, gRPC and HTTP", promises)


def end_under_load(server: Launched, photos: list[Path], sent: Sequence[int]) -> Row:
    """SIGTERM, or Ctrl-C twice, while callers never stop asking: what was accepted is answered, nothing new is taken.

    The callers do not ask again after a failure, so that each refusal is seen, and send one photo a call, so that it is
    known what was sent before the signal.
    """
    name = " then ".join(signal.Signals(number).name for number in sent)
    with Callers(server.endpoints, photos[:1], [NORMAL], CALLERS, retries=0) as callers:
        time.sleep(BEFORE_S)
        readiness = Readiness(server, NORMAL)
        since = time.monotonic()
        for number in sent:
            os.killpg(server.pid, number)  # as a terminal does
            time.sleep(0.3)
        code = wait(server, 60)
        ended_s = time.monotonic() - since
        readiness.stop()
        callers.stopping.set()
    told_s = (readiness.told_at or time.monotonic()) - since
    cut = sum(started < since for started in callers.cut_from)
    is_gentle = len(sent) == 1
    return Row(
        f"{name} under load that never ends",
        f"{CALLERS} SDK callers without retries, gRPC and HTTP",
        [
            *([Promise("accepted and not answered", cut, 0)] if is_gentle else []),
            Promise("wrong", callers.wrong, 0),
            Promise("readiness tells after", told_s, 1, "s"),
            Promise("ended after", ended_s, DRAIN_TIMEOUT_S + 3 if is_gentle else 3, "s"),
            Promise("left behind", len(server.leftovers()), 0),
        ],
        [f"exit code {code}", *server.leftovers()[:3], *(f"{n} x {m}" for m, n in callers.failures.most_common(3))],
    )


def wait(server: Launched, timeout_s: float) -> int | None:
    """The launcher's exit code; None if it does not end."""
    if server.launcher is None:
        return None
    try:
        return server.launcher.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None


def photos(folder: Path) -> list[Path]:
    """What callers ask about: three photos with different faces."""
    portrait = cv2.imread(str(PORTRAIT))
    pictures = {"portrait": portrait, "mirrored": portrait[:, ::-1], "smaller": cv2.resize(portrait, (300, 300))}
    for name, picture in pictures.items():
        (folder / f"{name}.jpg").write_bytes(encode(picture))
    return sorted(folder.glob("*.jpg"))
