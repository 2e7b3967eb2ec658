"""Callers of the SDK that never stop asking, know the right answers, and note when each came."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import numpy as np

from perf.peers import in_process
from tritonface import Connection, DetectionResult, FaceDetector, create_model
from tritonface_server.endpoints import Endpoints

TIMEOUT_S = 60
TOLERANCE_PX, TOLERANCE_SCORE = 0.5, 0.01
PROTOCOLS = ("grpc", "http")
CUT = re.compile(r"[Ss]ocket closed|reset|disconnect|EOF|[Bb]roken pipe|Stream removed")
"""What says that a connection ended under a request, which the server had taken."""

Boxes = np.ndarray
"""float [N, 5]: xmin, ymin, xmax, ymax in pixels, score."""


@dataclass
class Seen:
    """What the callers of one model over one protocol saw.

    Attributes:
        answers_at: when each photo's answer came, on the monotonic clock.
        slowest_s: the longest call.
        failures: messages of calls that failed.
    """

    answers_at: list[float] = field(default_factory=list)
    slowest_s: float = 0.0
    wrong: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def gap_s(self, since: float, until: float) -> float:
        """The longest time without an answer in a span."""
        times = [since, *sorted(at for at in self.answers_at if since < at < until), until]
        return max(after - before for before, after in pairwise(times))


class Callers:
    """Threads that call until the end of the block, half of them over each protocol.

    Args:
        variants: models to ask, by the names of their ensembles; each gets `count` callers.
        retries: of the SDK; 0 shows each refusal.
    """

    def __init__(
        self, endpoints: Endpoints, photos: list[Path], variants: list[str], count: int = 8, retries: int | None = None
    ) -> None:
        self.endpoints, self.photos, self.retries = endpoints, photos, retries
        self.right = {model: right_answers(model, photos) for model in variants}
        self.seen = {(model, protocol): Seen() for model in variants for protocol in PROTOCOLS}
        self.cut_from: list[float] = []
        """When calls began, on the monotonic clock, whose connection ended under them."""
        self._lock, self.stopping = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(model, PROTOCOLS[i % 2], i), daemon=True)
            for model in variants
            for i in range(count)
        ]

    @property
    def lost(self) -> int:
        """Calls that failed or were answered wrongly, and callers that hang."""
        return self.failures.total() + self.wrong + sum(thread.is_alive() for thread in self._threads)

    @property
    def wrong(self) -> int:
        """Answers that are another photo's, or none's; a result too many or too few is a failure."""
        return sum(seen.wrong for seen in self.seen.values())

    @property
    def failures(self) -> Counter[str]:
        """Messages over all models."""
        return sum((seen.failures for seen in self.seen.values()), Counter())

    def of(self, model: str) -> list[Seen]:
        """What was seen of a model, over each protocol."""
        return [seen for (name, _), seen in self.seen.items() if name == model]

    def _run(self, name: str, protocol: str, number: int) -> None:
        try:
            self._call(name, protocol, number)
        except Exception as error:  # whatever ends a caller has to be seen
            self._failed(name, protocol, error)

    def _call(self, name: str, protocol: str, number: int) -> None:
        retries = {} if self.retries is None else {"retries": self.retries}
        connection = Connection(getattr(self.endpoints, protocol), protocol, timeout_s=TIMEOUT_S, **retries)
        order = [(i + number) % len(self.photos) for i in range(len(self.photos))]
        seen = self.seen[name, protocol]
        with open_model(name, connection) as model:
            while not self.stopping.is_set():
                started, right = time.monotonic(), [self.right[name][i] for i in order]
                try:
                    for result, boxes in zip(model.predict([self.photos[i] for i in order]), right, strict=True):
                        self._answered(seen, same(boxes_of(result), boxes))
                except Exception as error:  # the SDK's own ones, and those that should not be
                    self._failed(name, protocol, error)
                    if CUT.search(str(error)):
                        self.cut_from.append(started)
                    time.sleep(0.1)
                    continue
                with self._lock:
                    seen.slowest_s = max(seen.slowest_s, time.monotonic() - started)

    def _answered(self, seen: Seen, is_right: bool) -> None:
        with self._lock:
            seen.wrong += not is_right
            seen.answers_at.append(time.monotonic())

    def _failed(self, name: str, protocol: str, error: Exception) -> None:
        with self._lock:
            self.seen[name, protocol].failures[f"{type(error).__name__}: {error}"[:300]] += 1

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 10)


def open_model(name: str, connection: Connection) -> FaceDetector:
    """A served model by the name of its ensemble."""
    return create_model(name.removesuffix("_hpi"), use_hpip=name.endswith("_hpi"), connection=connection)


def right_answers(name: str, photos: list[Path]) -> list[Boxes]:
    """The answers of the same detector without a server."""
    variant = "hpi" if name.endswith("_hpi") else "normal"
    detector = in_process.open_detector(name.removesuffix("_hpi"), variant, 1)
    found = [detector(photo.read_bytes()) for photo in photos]
    return [np.column_stack([each.boxes_xyxy_px, each.scores]) for each in found]


def boxes_of(result: DetectionResult) -> Boxes:
    """Coordinates and score of each box."""
    return np.column_stack([result.xyxy, result.scores])


def same(found: Boxes, right: Boxes) -> bool:
    """Whether two answers are the same photo's."""
    tolerance = [TOLERANCE_PX] * 4 + [TOLERANCE_SCORE]
    return found.shape == right.shape and bool((np.abs(found - right) <= tolerance).all())
