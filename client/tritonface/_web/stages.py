"""Where the time goes inside the server: Triton's statistics of a detector's steps before and after some requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

STEPS = {"preprocess": "decode, resize", "postprocess": "NMS"}
"""What a step does, by the end of its name; the one with another end is the network."""
COMPUTED = ("compute_input", "compute_infer", "compute_output")

Statistics = Mapping[str, Mapping[str, Any]]
"""What Triton counts of a model, by its name."""


@dataclass(frozen=True)
class ServerTimes:
    """Averages of all requests that a server has answered meanwhile, whosever they were.

    Attributes:
        requests: how many there were.
        times_ms: of one request, by what was done: waiting in queues, and each step.
    """

    requests: int
    times_ms: dict[str, float]


def by_name(statistics: Iterable[Mapping[str, Any]]) -> Statistics:
    """What Triton tells of each model."""
    return {model["name"]: model.get("inference_stats", {}) for model in statistics}


def between(steps: Iterable[str], before: Statistics, after: Statistics) -> ServerTimes | None:
    """The times of a detector's steps, in their order; None if they did nothing, or nothing is known."""
    queued_ms, requests, times_ms = 0.0, 0, {}
    for step in steps:
        count = _grown(step, "success", "count", before, after)
        if count <= 0:
            return None
        requests = int(count)
        queued_ms += _grown(step, "queue", "ns", before, after) / count / 1e6
        name = STEPS.get(step.rpartition("_")[2], "network")
        times_ms[name] = sum(_grown(step, part, "ns", before, after) for part in COMPUTED) / count / 1e6
    return ServerTimes(requests, {"queues": queued_ms, **times_ms}) if times_ms else None


def _grown(step: str, part: str, unit: str, before: Statistics, after: Statistics) -> float:
    """By how much; Triton leaves out what is 0, and gives numbers as texts over gRPC."""
    return sum(
        sign * float(known.get(step, {}).get(part, {}).get(unit, 0)) for sign, known in ((1, after), (-1, before))
    )
