"""More requests than the server can answer: what it still gives, what it refuses and how fast, what it costs."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from perf import resources
from perf.chaos import open_loop
from perf.chaos.launched import Launched
from perf.chaos.row import Promise, Row
from perf.photos import PORTRAIT
from perf.settings import WATCHED
from tritonface import Connection, TritonFaceError, create_model
from tritonface_server.cpus import usable_cpus

DEADLINE_S = 2.0
LOADS = {"2": (2, DEADLINE_S), "5": (5, DEADLINE_S), "20": (20, DEADLINE_S), "short": (5, 0.5)}
"""`{name: (times saturation, deadline in seconds)}`; the short deadline is about over when a request has waited in all
queues of two CPUs while they are full."""
MOST_BUSY_S = 0.1
SATURATION_S = 10.0
CALLERS, IMAGES = 256, 300
SAMPLE_S = 0.5
MOST_MIB = 1.6e9 / 2**20
COUNT = re.compile(rf'^nv_inference_count{{model="{WATCHED}_detector",version="1"}} (\d+)', re.MULTILINE)


def overload(server: Launched, protocol: str, factor: float, deadline_s: float, seconds: float) -> Row:
    """An open loop at `factor` times what a closed one reaches just before.

    The client runs on the server's own CPUs; what the flood costs it more than the closed loop did is allowed for. A
    request with a short deadline may have waited for most of it until it is known that it would come late.
    """
    closed = saturate(server, protocol)
    saturation = closed.images_per_s
    rate = factor * saturation
    url = getattr(server.endpoints, protocol)
    before, received_s = computed(server), front_end_cpu_s(server)
    with peak_memory(server) as peak:
        seen = open_loop.run(open_loop.Task(protocol, url, WATCHED, str(PORTRAIT), rate, seconds, deadline_s))
    done, received_s = computed(server) - before, front_end_cpu_s(server) - received_s
    answered = seen["counts"][open_loop.OK] + 1  # the one who came afterwards
    goodput = seen["in_time"] / seconds / saturation
    left_s = seconds * (usable_cpus() - max(0.0, seen["cpu_s"] / seconds - closed.client_cpus))
    refusing_s = max(0.0, received_s - answered / saturation * closed.front_end_cpus)
    return Row(
        f"{factor:g} times saturation over {protocol}, deadline {deadline_s:g} s",
        f"open loop, {rate:.0f} requests/s for {seconds:g} s",
        [
            Promise(
                "goodput / saturation, of the CPU that the client leaves",
                goodput * seconds * usable_cpus() / left_s,
                0.9,
                at_least=True,
            ),
            Promise(
                "p99 of a rejection", seen["busy_s"][1], MOST_BUSY_S if deadline_s == DEADLINE_S else deadline_s, "s"
            ),
            Promise("memory", peak[0], MOST_MIB, "MiB"),
            Promise("a fresh request after it", seen["fresh_s"], 1, "s"),
            Promise("computed for nobody", max(0.0, 1 - answered / max(done, 1)), 0.05),
        ],
        [
            f"saturation {saturation:.1f} images/s, goodput {goodput:.2f} of it",
            f"of {seconds * usable_cpus():.0f} s of CPU sending took {seen['cpu_s']:.1f}, receiving {received_s:.1f}",
            f"what tritonserver takes to refuse leaves {1 - refusing_s / left_s:.2f} at most",
            *notes(seen),
        ],
        {"saturation": saturation, **seen},
    )


def notes(seen: dict[str, Any]) -> list[str]:
    """Counts of outcomes, how well the client did its part, and messages that nobody expects."""
    counts = ", ".join(f"{number} {name}" for name, number in seen["counts"].items() if number)
    client = f"the client sent {seen['punctual']:.0%} on time"
    if not seen["goes_first"]:
        client += ", and its times hold its own waiting for the server's CPUs, as it is not root"
    return [counts, client, *(f"{number} x {message}" for message, number in seen["others"].items())]


class Saturation(NamedTuple):
    """What a closed loop reaches, and the CPUs that its client and tritonserver itself keep busy meanwhile."""

    images_per_s: float
    client_cpus: float
    front_end_cpus: float


def saturate(server: Launched, protocol: str) -> Saturation:
    """A closed loop with the same requests."""
    url = getattr(server.endpoints, protocol)
    closed = open_loop.Task(protocol, url, WATCHED, str(PORTRAIT), rate=0, seconds=SATURATION_S)
    open_loop.run(replace(closed, seconds=1))
    before_s = front_end_cpu_s(server)
    seen = open_loop.run(closed)
    spent_s = seen["in_time"], seen["cpu_s"], front_end_cpu_s(server) - before_s
    return Saturation(*(each / SATURATION_S for each in spent_s))


def front_end_cpu_s(server: Launched) -> float:
    """CPU time of tritonserver itself so far, without the processes of the models."""
    times = server.server.cpu_times()
    return float(times.user + times.system)


def computed(server: Launched) -> int:
    """Images that went through the network so far, by Triton's metrics."""
    with urllib.request.urlopen(f"http://{server.endpoints.host}:{server.endpoints.metrics_port}/metrics") as reply:
        found = COUNT.search(reply.read().decode())
    if found is None:
        raise RuntimeError(f"Triton's metrics do not tell how many images {WATCHED}_detector has computed")
    return int(found[1])


@contextmanager
def peak_memory(server: Launched) -> Iterator[list[float]]:
    """The most that all processes of the server had at any moment of the block, MiB, in a list of one.

    Within the block that is their PSS before it, and what they have grown by: to read PSS holds them up.
    """
    before_mib = server.memory_mib() - resources.growing_mib(server.pid)
    peak, stop = [0.0], threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_S):
            peak[0] = max(peak[0], before_mib + resources.growing_mib(server.pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak[0] = max(peak[0], server.memory_mib())


def many_callers(server: Launched, protocol: str) -> Row:
    """256 callers at once with 300 images between them: the SDK waits for its turn."""
    connection = Connection(getattr(server.endpoints, protocol), protocol, timeout_s=120)

    def ask(_: int) -> str:
        try:
            return "" if len(next(model.predict(PORTRAIT))) else "no face"
        except TritonFaceError as error:
            return f"{type(error).__name__}: {error}"

    started = time.monotonic()
    with create_model(WATCHED, connection=connection) as model, ThreadPoolExecutor(CALLERS) as pool:
        failures = [message for message in pool.map(ask, range(IMAGES)) if message]
    return Row(
        f"{CALLERS} callers with {IMAGES} images over {protocol}",
        "SDK, all at once, deadline 120 s",
        [Promise("lost", len(failures), 0)],
        [f"all there after {time.monotonic() - started:.1f} s", *sorted(set(failures))[:3]],
    )
