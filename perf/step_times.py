"""Where a request's time goes, waiting and computing in each step: what Triton's statistics gained during some work."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tritonclient import grpc

from perf import resources, sdk_caller
from perf.machine import cores
from perf.photos import TYPICAL_MEGAPIXELS, photo
from perf.resources import SERVER
from perf.settings import IN_FLIGHT, Settings
from tritonface import FaceDetector, create_model
from tritonface_server.server import TritonServer

STEPS = ("preprocess", "detector", "postprocess")
PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
Counts = dict[str, dict[str, int]]


def read_counts(server: TritonServer) -> Counts:
    """Triton's cumulative counts: `{model: {"inferences", "executions", and nanoseconds for each of PARTS}}`."""
    with grpc.InferenceServerClient(server.endpoints.grpc) as client:
        return flatten(client.get_inference_statistics(headers=server.access.grpc_headers, as_json=True))


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


def measure(server: TritonServer, detector: str, settings: Settings) -> list[dict[str, Any]]:
    """Times of the steps and use of the machine, one request at a time and saturated, of both variants."""
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "photo.jpg")
        image.write_bytes(photo(TYPICAL_MEGAPIXELS))
        for name in (detector, f"{detector}_hpi"):
            with create_model(name, url=server.endpoints.grpc) as model:
                entries += [_entry(server, model, image, in_flight, settings) for in_flight in (1, IN_FLIGHT)]
    return entries


def _entry(
    server: TritonServer, model: FaceDetector, image: Path, in_flight: int, settings: Settings
) -> dict[str, Any]:
    """With so many requests under way, as many in all as fit into the time, and enough to fill the queues."""
    settling = settings.step_s / 6, in_flight, settings.settle_requests  # the copies of the network as well
    count = max(4, round(sdk_caller.images_per_s(model, image, *settling) * settings.step_s))
    before = read_counts(server)
    used = resources.during(server.process.pid, count, lambda: sdk_caller.detect_many(model, [image], count, in_flight))
    times = difference_ms(before, read_counts(server))
    facts = {"model": model.model_name, "in_flight": in_flight, "cores": cores()}
    return {**facts, "steps": times, "resources": used}


def breakdown_ms(entry: dict[str, Any]) -> dict[str, float]:
    """Where the wall time of one request at a time goes, summed over the steps: computing, copies, waiting, the rest.

    The rest is what lies outside the steps: the client, the connection, the ensemble's scheduler.
    """
    steps = [times for step, times in entry["steps"].items() if step != entry["model"]]
    computing, waiting = (sum(times[part] for times in steps) for part in ("compute_infer", "queue"))
    copies = sum(times["compute_input"] + times["compute_output"] for times in steps)
    wall = 1e3 / entry["resources"]["images_per_s"]
    return {"computing": computing, "copies": copies, "waiting": waiting, "rest": wall - computing - copies - waiting}


def cpu_breakdown_ms(entry: dict[str, Any]) -> dict[str, float]:
    """What the cores do with their time when saturated, ms per image: each step, the server itself, and the rest.

    The rest is the client, the kernel's work on behalf of nobody, and idling.
    """
    by_model = entry["resources"]["cpu_ms_by_model"]
    steps = {step: sum(ms for name, ms in by_model.items() if name.endswith(f"_{step}")) for step in STEPS}
    rest = entry["cores"] * 1e3 / entry["resources"]["images_per_s"] - sum(by_model.values())
    return {**steps, SERVER: by_model.get(SERVER, 0.0), "client and rest": rest}
