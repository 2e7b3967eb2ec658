"""Where a request's time goes, waiting and computing in each step: what Triton's statistics gained during some work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tritonclient import grpc

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
Counts = dict[str, dict[str, int]]


def read_counts(url: str) -> Counts:
    """Triton's cumulative counts: `{model: {"inferences", "executions", and nanoseconds for each of PARTS}}`."""
    with grpc.InferenceServerClient(url) as client:
        return flatten(client.get_inference_statistics(as_json=True))


def flatten(statistics: dict[str, Any]) -> Counts:
    """The part of Triton's answer that is needed; what is zero is missing in it."""
    counts = {}
    for model in statistics.get("model_stats", []):
        times = model.get("inference_stats", {})
        counts[model["name"]] = {
            "inferences": int(model.get("inference_count", 0)),
            "executions": int(model.get("execution_count", 0)),
            **{part: int(times.get(part, {}).get("ns", 0)) for part in PARTS},
        }
    return counts


def difference_ms(before: Counts, after: Counts) -> dict[str, dict[str, float]]:
    """Mean milliseconds per request and part, and requests per execution, for the models that were used between."""
    rows = {}
    for model, end in after.items():
        start = before.get(model, dict.fromkeys(end, 0))
        used = {key: end[key] - start[key] for key in end}
        if used["inferences"] > 0:
            rows[model] = {part: used[part] / used["inferences"] / 1e6 for part in PARTS}
            rows[model]["per_execution"] = used["inferences"] / max(used["executions"], 1)
    return rows


def during(url: str, work: Callable[[], object]) -> dict[str, dict[str, float]]:
    """`difference_ms` over a piece of work."""
    before = read_counts(url)
    work()
    return difference_ms(before, read_counts(url))
