"""The metrics of a server, as Prometheus reads them."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable

from tests.launched import Launched
from tritonface_server.metrics import DELIVERY_INTERVAL_S, FAMILIES, STAGE_SECONDS, Series, series
from tritonface_server.server import TritonServer

LINE = re.compile(r"^([a-z_]+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def scrape(server: TritonServer | Launched) -> dict[Series, float]:
    """What the server's metrics port says now."""
    ends = server.endpoints
    with urllib.request.urlopen(f"http://{ends.host}:{ends.metrics_port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return {series(name, **dict(LABEL.findall(labels))): float(value) for name, labels, value in LINE.findall(text)}


def wait_until(holds: Callable[[], bool], told: Callable[[], object] = str, timeout_s: float = 20) -> None:
    """Return as soon as it holds; `told` is what to say if that takes too long."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


class Watch:
    """How much our own counters have grown, those of seconds excepted."""

    def __init__(self, server: TritonServer) -> None:
        self._server = server
        self._before = self._counters()

    @classmethod
    def of_settled(cls, server: TritonServer) -> Watch:
        """Begun when what was done before is counted."""
        watch = cls(server)
        while time.sleep(2 * DELIVERY_INTERVAL_S) or watch.grown():
            watch = cls(server)
        return watch

    def grown(self) -> dict[Series, float]:
        """The counters that have, and by how much."""
        now = self._counters()
        return {metric: value - before for metric, value in now.items() if value != (before := self._before[metric])}

    def expect(self, expected: dict[Series, float]) -> None:
        """Wait until these counters, and no others, have grown by so much."""
        wait_until(lambda: self.grown() == expected, lambda: f"{self.grown()} is not {expected}")

    def _counters(self) -> dict[Series, float]:
        own = {name for name, family in FAMILIES.items() if not family.is_gauge} - {STAGE_SECONDS}
        return {metric: value for metric, value in scrape(self._server).items() if metric.name in own}
