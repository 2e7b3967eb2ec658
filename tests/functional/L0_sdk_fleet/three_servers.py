"""Three real servers: one is killed and started again, one stopped and resumed, while images run over the list."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.conftest import PHOTOS
from tritonface import Connection, DetectionResult, FaceDetector
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

UNTOUCHED, KILLED, STOPPED = ALL = "ABC"
"""The three, by what happens to them."""
UNDER_WAY = 24
"""Images, eight for each of them."""
WIDTHS_PX = range(96, 296)
SETTLED_S = 3.0
"""After a change: what it costs is over."""


class Servers:
    """The three."""

    def __init__(self, repository: Path, logs: Path) -> None:
        self._repository, self._logs = repository, logs
        self.endpoints = {name: Endpoints.free() for name in ALL}
        self._running: dict[str, TritonServer] = {}
        self._stack = ExitStack()

    def start(self, *names: str) -> None:
        for name in names:
            log = self._logs / f"{name}.log"
            self._running[name] = server = TritonServer(self._repository, self.endpoints[name], log, cpus=1)
            self._stack.callback(server.stop, drain_timeout_s=0)
            server.start()

    def wait_until_ready(self, *names: str) -> None:
        for name in names:
            self._running[name].wait_until_ready()

    def kill(self) -> None:
        self._signal(KILLED, signal.SIGKILL)

    def start_again(self) -> None:
        self._running[KILLED].stop()  # clears away what the killed one has left
        self.start(KILLED)

    def stop(self) -> None:
        self._signal(STOPPED, signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(STOPPED, signal.SIGCONT)

    def connection(self, protocol: str, names: Sequence[str] = ALL) -> Connection:
        return Connection([getattr(self.endpoints[name], protocol) for name in names], protocol, timeout_s=120)

    def served(self, name: str) -> int:
        """How many images one has answered since it was started."""
        stats = self._running[name].control._call("v2/models/BlazeFace/stats")
        return int(stats["model_stats"][0]["inference_stats"]["success"]["count"])

    def _signal(self, name: str, signum: signal.Signals) -> None:
        os.kill(self._running[name].process.pid, signum)

    def close(self) -> None:
        self.resume()
        self._stack.close()


@contextmanager
def three_servers(repository: Path, logs: Path) -> Iterator[Servers]:
    """All are ready at first and gone at the end."""
    servers = Servers(repository, logs)
    try:
        servers.start(*ALL)
        servers.wait_until_ready(*ALL)
        yield servers
    finally:
        servers.close()


def write_photos(folder: Path, count: int) -> list[Path]:
    """Small ones of one face, each with a size of its own, so that a result of the wrong image would be noticed."""
    folder.mkdir()
    with Image.open(PHOTOS / "solvay_1927.jpg") as image:
        crop = image.convert("RGB").crop((150, 300, 278, 428))
    paths = [folder / f"{i:04d}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        height, width = divmod(i, len(WIDTHS_PX))
        crop.resize((WIDTHS_PX[width], 96 + height)).save(path, quality=80)
    return paths


@dataclass
class Run:
    """What came of some images, and which servers lived meanwhile.

    Attributes:
        results: in order.
        times_s: when each was there.
        acted_s: when something was done to a server.
        lived: from when on, in seconds, which servers did.
    """

    results: list[DetectionResult] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    acted_s: list[float] = field(default_factory=list)
    lived: list[tuple[float, str]] = field(default_factory=lambda: [(0.0, ALL)])

    @property
    def rate(self) -> float:
        """Images a second."""
        return len(self.results) / self.times_s[-1]

    def stretches(self) -> list[Stretch]:
        """The times in which the same servers lived."""
        acted_s, lived = [*self.acted_s, self.times_s[-1]], [*self.lived, (self.times_s[-1], "")]
        found = []
        for (since_s, names), (until_s, _), end_s in zip(lived, lived[1:], acted_s):
            first_s = since_s + SETTLED_S if since_s and end_s - since_s > 2 * SETTLED_S else since_s
            settled = [time_s for time_s in self.times_s if first_s <= time_s < end_s]
            found.append(Stretch(names, until_s - since_s, len(settled) / (end_s - first_s)))
        return found


class Stretch(NamedTuple):
    """A time in which the same servers lived.

    Attributes:
        rate: images a second, when what the change before it costs was over, and before the next one.
    """

    living: str
    seconds: float
    rate: float


def at_once() -> None:
    """Takes no time."""


class Change(NamedTuple):
    """What is done to a server.

    Attributes:
        act: at once, in the thread that takes the results: a server ends with the thread that has started it.
        wait: beside the images, until it has taken effect.
        living: the servers that live from then on.
    """

    act: Callable[[], None]
    wait: Callable[[], None]
    living: str


def run(model: FaceDetector, photos: Sequence[Path], changes: Sequence[Change] = ()) -> Run:
    """All photos; the changes come in turn, at equal distances."""
    done, began_s = Run(), time.monotonic()
    step = len(photos) // (len(changes) + 1)
    waiting, threads = list(changes), []

    def now_s() -> float:
        return time.monotonic() - began_s

    def wait(change: Change) -> None:
        change.wait()
        done.lived.append((now_s(), change.living))

    for result in model.predict(photos, batch_size=UNDER_WAY):
        done.results.append(result)
        done.times_s.append(now_s())
        if len(done.results) % step == 0 and waiting:
            change = waiting.pop(0)
            done.acted_s.append(now_s())
            change.act()
            threads.append(threading.Thread(target=wait, args=(change,)))
            threads[-1].start()
    for thread in threads:
        thread.join()
    return done


def changes(servers: Servers) -> list[Change]:
    """One is killed, one stopped, the killed one started again, the stopped one resumed."""
    return [
        Change(servers.kill, at_once, UNTOUCHED + STOPPED),
        Change(servers.stop, at_once, UNTOUCHED),
        Change(servers.start_again, lambda: servers.wait_until_ready(KILLED), UNTOUCHED + KILLED),
        Change(servers.resume, at_once, ALL),
    ]
