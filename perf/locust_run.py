"""Runs locust: without a terminal for the report, or with its web interface.

python -m perf.locust_run [--model NAME] [--web-port PORT]    (a server of its own, and the web interface)
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from training.paths import MODEL_REPOSITORY, ROOT
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

LOCUSTFILE = ROOT / "perf" / "locustfile.py"
HEADER_LENGTH = "Inference-Header-Content-Length"
SPAWN_PER_S = 1.0
WEB_HOST, WEB_PORT = "127.0.0.1", 8089
COLUMNS = {
    "requests": "Request Count",
    "failures": "Failure Count",
    "p50_ms": "50%",
    "p95_ms": "95%",
    "p99_ms": "99%",
    "requests_per_s": "Requests/s",
}


class LocustError(RuntimeError):
    """locust is not installed or failed; the message says why."""


def command(http_url: str, arguments: list[str]) -> list[str]:
    """How locust is called against a server.

    Raises:
        LocustError: it is not installed.
    """
    if importlib.util.find_spec("locust") is None:
        raise LocustError("locust is not installed in this environment; `make setup-dev` installs it")
    return [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", f"http://{http_url}", *arguments]


def environment(model: str) -> dict[str, str]:
    """Variables for the locustfile; the project's root is on its path."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "LOCUST_MODEL": model, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def headless(http_url: str, model: str, duration_s: int, users: int) -> dict[str, Any]:
    """Ramp up to `users`, stay there, and return locust's two tables: per photo size, and second by second.

    Raises:
        LocustError: locust is missing or gave up; failed requests are counted in the table, not raised.
    """
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder, "run"))
        options = ["--headless", "--only-summary", "--users", str(users), "--spawn-rate", str(SPAWN_PER_S)]
        options += ["--run-time", f"{duration_s}s", "--stop-timeout", "30", "--csv", prefix, "--csv-full-history"]
        options += ["--exit-code-on-error", "0"]
        outcome = subprocess.run(
            command(http_url, options), cwd=folder, env=environment(model), capture_output=True, text=True
        )
        if outcome.returncode:
            raise LocustError(f"locust failed: {outcome.stderr.strip()[-500:]}")
        table, history, failures = (
            Path(f"{prefix}_{name}.csv").read_text() for name in ("stats", "stats_history", "failures")
        )
    errors = [row["Error"] for row in csv.DictReader(io.StringIO(failures))]
    return {"users": users, "rows": read_table(table), "ramp": read_history(history), "errors": errors}


def read_table(text: str) -> list[dict[str, Any]]:
    """Rows of locust's table of statistics: one for each photo size, and "Aggregated"."""
    rows = csv.DictReader(io.StringIO(text))
    return [{"name": row["Name"], **{ours: _number(row[theirs]) for ours, theirs in COLUMNS.items()}} for row in rows]


def read_history(text: str) -> list[dict[str, float]]:
    """Users, requests per second and latency over the seconds of a run."""
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["Name"] == "Aggregated"]
    if not rows:
        return []
    start = _number(rows[0]["Timestamp"])
    return [
        {
            "second": _number(row["Timestamp"]) - start,
            "users": _number(row["User Count"]),
            "requests_per_s": _number(row["Requests/s"]),
            "p50_ms": _number(row["50%"]),
            "p95_ms": _number(row["95%"]),
        }
        for row in rows
    ]


def _number(text: str) -> float:
    """0 where locust has no figure yet ("N/A")."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def faces_in(content: bytes, header_length: int) -> int:
    """`num_detections` of an answer in Triton's HTTP format: JSON, then the tensors' bytes in its order."""
    offset = header_length
    for output in json.loads(content[:header_length])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if output["name"] == "num_detections":
            data = output.get("data")
            return int(data[0]) if data else int(np.frombuffer(content, np.int32, 1, offset)[0])
        offset += size or 0
    raise ValueError("the answer has no num_detections")


def main() -> None:
    """The command line: a server and the web interface until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m perf.locust_run", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="BlazeFace")
    parser.add_argument("--web-port", type=int, default=WEB_PORT)
    options = parser.parse_args()
    web = ["--web-host", WEB_HOST, "--web-port", str(options.web_port)]
    with (
        tempfile.TemporaryDirectory() as folder,
        TritonServer(MODEL_REPOSITORY, Endpoints.free(), log=Path(folder, "log")) as server,
    ):
        print(f"open http://{WEB_HOST}:{options.web_port}; Ctrl-C ends it", flush=True)
        try:
            subprocess.run(command(server.endpoints.http, web), env=environment(options.model))
        except KeyboardInterrupt:
            print("ending")


if __name__ == "__main__":
    try:
        main()
    except LocustError as failure:
        sys.exit(f"error: {failure}")
