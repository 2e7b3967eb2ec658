"""What the steps count, served beside Triton's own metrics: names, labels, and gathering that is cheap for a step.

Raising one of Triton's counters is a message to another process. So a step gathers its counts here, and a thread of its
own hands them on, half a second later at most. All processes of a server that give the same name and labels raise the
same counter.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol


class Family(NamedTuple):
    """Metrics of one name; `labels` are what tells them apart, besides the detector or what decodes for several."""

    help: str
    labels: tuple[str, ...] = ()
    is_gauge: bool = False


IMAGE_REASONS = ("too_large", "cut_off", "undecodable")
"""Why an image is refused: beyond a limit, its end is missing and `strict` is set, or damaged or of another format."""
REQUEST_REASONS = {
    "preprocess": ("image", "invalid", "busy", "gone", "failed"),
    "detector": ("invalid", "gone", "failed"),
    "postprocess": ("invalid", "gone"),
}
"""Why a step declines a request: its only image was refused, it is wrong, there is no room, nobody waits for it any
more, the step failed."""

IMAGES_DECODED = "tritonface_images_decoded_total"
IMAGES_REFUSED = "tritonface_images_refused_total"
FACES_FOUND = "tritonface_faces_found_total"
REQUESTS_DECLINED = "tritonface_requests_declined_total"
STAGE_SECONDS, STAGE_RUNS = "tritonface_stage_seconds_total", "tritonface_stage_runs_total"
REQUESTS_UNDER_WAY, BYTES_UNDER_WAY = "tritonface_requests_under_way", "tritonface_picture_bytes_under_way"

STAGES = {"preprocess": ("wait", "decode", "resize"), "detector": ("network",), "postprocess": ("nms",)}
"""What each step spends its time on; `wait` is for room, once a request, the others once an image."""

FAMILIES = {
    IMAGES_DECODED: Family("Images decoded, counted by the last step, which knows the detector"),
    IMAGES_REFUSED: Family("Images refused, alone in their request or among others", ("reason",)),
    FACES_FOUND: Family("Faces in all answers, at the thresholds of their requests"),
    REQUESTS_DECLINED: Family(
        "Requests that a step has declined; those that Triton rejects as its queues are full never reach one",
        ("step", "reason"),
    ),
    STAGE_SECONDS: Family("Time spent in a stage", ("stage",)),
    STAGE_RUNS: Family("How often a stage was run: wait once a request, others once an image", ("stage",)),
    REQUESTS_UNDER_WAY: Family("Requests between their decoding and their answer, in the whole server", is_gauge=True),
    BYTES_UNDER_WAY: Family("Bytes of the pictures of these requests", is_gauge=True),
}

DELIVERY_INTERVAL_S = 0.5


class Series(NamedTuple):
    """One metric: its name and its labels, sorted by name."""

    name: str
    labels: tuple[tuple[str, str], ...]


def series(name: str, **labels: str) -> Series:
    """The metric of this name with these labels."""
    return Series(name, tuple(sorted(labels.items())))


def of_model(model_name: str) -> tuple[str, dict[str, str]]:
    """A model's step, and the label that names whose step it is: a detector's, or that of one kind of pictures, which
    several detectors may share ("640x640_cubic")."""
    owner, _, step = model_name.rpartition("_")
    return step, {"pictures" if step == "preprocess" else "detector": owner}


def series_of_model(model_name: str) -> Iterator[Series]:
    """What a step counts, so that all of it is there, as 0, before anything has happened."""
    step, owner = of_model(model_name)
    for name in (IMAGES_DECODED, FACES_FOUND) if step == "postprocess" else ():
        yield series(name, **owner)
    for reason in IMAGE_REASONS if step == "preprocess" else ():
        yield series(IMAGES_REFUSED, **owner, reason=reason)
    for reason in REQUEST_REASONS[step]:
        yield series(REQUESTS_DECLINED, **owner, step=step, reason=reason)
    for stage in STAGES[step]:
        yield series(STAGE_SECONDS, **owner, stage=stage)
        yield series(STAGE_RUNS, **owner, stage=stage)


class Counts:
    """Counts gathered by one thread and taken by another."""

    def __init__(self, known: Iterable[Series] = ()) -> None:
        self._lock = threading.Lock()
        self._gathered: dict[Series, float] = defaultdict(float, dict.fromkeys(known, 0.0))

    def add(self, metric: Series, amount: float = 1.0) -> None:
        with self._lock:
            self._gathered[metric] += amount

    def take(self) -> dict[Series, float]:
        """What was gathered since the last call."""
        with self._lock:
            taken, self._gathered = self._gathered, defaultdict(float)
        return taken


class Metric(Protocol):
    """As Triton's Python backend has it."""

    def increment(self, value: float) -> None:
        """Add to a counter."""

    def set(self, value: float) -> None:
        """Replace a gauge's value."""


class Delivery:
    """Calls `deliver` in a thread of its own: at once when asked, but not again before an interval is over.

    Args:
        deliver: returns whether it wants to be called once more after the interval, without being asked.
    """

    def __init__(self, deliver: Callable[[], bool], interval_s: float = DELIVERY_INTERVAL_S) -> None:
        self._deliver = deliver
        self._interval_s = interval_s
        self._asked, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        self._asked.set()

    def close(self) -> None:
        """Deliver what is left, and end the thread."""
        self._closing.set()
        self._asked.set()
        self._thread.join()
        self._deliver()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._asked.wait()
            self._asked.clear()
            if self._deliver():
                self._asked.set()
            self._closing.wait(self._interval_s)
