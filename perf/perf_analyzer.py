"""NVIDIA's perf_analyzer: set it up without a container, run it against a server, read what it says.

python -m perf.perf_analyzer    (sets it up and prints where it is)

The binary lies in the wheel `tritonclient==2.51.0`, which pip downloads by its hash. It needs libb64 and the CUDA
runtime library even without a GPU; both come from the libraries of the wheel `nvidia-pytriton`, which serves here.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from perf.settings import SETTLE_REQUESTS
from training.paths import ROOT
from tritonface_server.access import Access
from tritonface_server.machine import LaunchError, find_triton
from tritonface_server.repository import bytes_tensor

ACCESS = Access(open_apis=("statistics",))
"""Of the servers it measures: it reads statistics, and would show a key to `ps`."""
FOLDER = ROOT / "build" / "perf_analyzer"
BINARY = FOLDER / "bin" / "perf_analyzer"
LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
REQUIREMENT = ROOT / "requirements" / "perf_analyzer.txt"
WINDOWS = 3
"""perf_analyzer takes no fewer."""
TIMEOUT_S = 150
ATTEMPTS = 3
MOST_WINDOW_S = 15.0
TOO_SHORT = (
    "No valid requests recorded within time interval",
    "Pass contained only one request",
    "failed to find the requested model version",  # of one that answers; seen with three requests a window
)


class PerfAnalyzerError(RuntimeError):
    """perf_analyzer cannot be set up or did not measure; the message says why and what to do."""


@dataclass(frozen=True)
class Measurement:
    """What perf_analyzer saw under one load.

    Attributes:
        load: requests under way, or requests sent per second.
        images_per_s: of the windows after the first, in which the server is still filling up.
        p50_ms, p90_ms, p99_ms, mean_ms: latency of a request, all windows together.
    """

    load: float
    images_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float


@cache
def set_up() -> Path:
    """The binary, downloaded and unpacked into build/perf_analyzer/ the first time.

    Raises:
        PerfAnalyzerError: no download, no libraries, or the binary does not run on this machine.
    """
    if not BINARY.is_file():
        _unpack()
    outcome = subprocess.run([BINARY, "--version"], env=_environment(), capture_output=True, text=True)
    if outcome.returncode:
        raise PerfAnalyzerError(
            f"perf_analyzer does not run on this machine: {(outcome.stderr or outcome.stdout).strip()}; it needs "
            f"glibc 2.34 and OpenSSL 3 (Debian, Ubuntu: `apt-get install libssl3`). Remove {FOLDER} to set it up anew"
        )
    return BINARY


def _unpack() -> None:
    try:
        libraries = find_triton().library_folders
    except LaunchError as error:
        raise PerfAnalyzerError(f"perf_analyzer takes its libraries from the server's wheel: {error}") from error
    (FOLDER / "lib").mkdir(parents=True, exist_ok=True)
    for name, pattern in LIBRARIES.items():
        found = [file for folder in libraries for file in folder.glob(pattern)]
        if not found:
            raise PerfAnalyzerError(f"no {pattern} in {libraries[-1]}; `make setup` installs the wheel that has it")
        (FOLDER / "lib" / name).write_bytes(found[0].read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
        command += ["--require-hashes", "--only-binary=:all:", "--dest", folder, "-r", str(REQUIREMENT)]
        outcome = subprocess.run(command, capture_output=True, text=True)
        if outcome.returncode:
            raise PerfAnalyzerError(f"pip cannot download {REQUIREMENT.name}: {outcome.stderr.strip()[-500:]}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith("/bin/perf_analyzer"))
            data = archive.read(member)
    BINARY.parent.mkdir(exist_ok=True)
    partial = BINARY.with_suffix(".partial")
    partial.write_bytes(data)
    partial.chmod(partial.stat().st_mode | stat.S_IXUSR)
    partial.rename(BINARY)


def _environment() -> dict[str, str]:
    folders = [str(FOLDER / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}


def write_input(tensor: str, contents: Iterable[bytes], file: Path) -> Path:
    """An `--input-data` file: each of the BYTES elements in turn is one request."""
    rows = [
        {tensor: {"content": {"b64": base64.b64encode(bytes_tensor(data)).decode()}, "shape": [1]}} for data in contents
    ]
    file.write_text(json.dumps({"data": rows}))
    return file


def measure(
    model: str,
    url: str,
    input_file: Path,
    *,
    protocol: str = "grpc",
    concurrency: int | None = None,
    rate: float | None = None,
    distribution: str = "constant",
    window_s: float = 2.0,
    settle_requests: int = SETTLE_REQUESTS,
) -> Measurement:
    """Run perf_analyzer for three windows, at a constant number of requests under way or at a rate.

    Args:
        url: host:port.
        settle_requests: before the first window, which do not count; at least as many as are under way, as with fewer
            perf_analyzer waits for ever.
        rate: requests per second, sent whether or not the earlier ones have been answered.
        distribution: of the time between those, "constant" or "poisson".

    Raises:
        PerfAnalyzerError: it failed, or a request did.
    """
    load = (
        [f"--concurrency-range={concurrency}", f"--warmup-request-count={max(settle_requests, concurrency or 0)}"]
        if rate is None
        else [f"--request-rate-range={rate:.3f}", f"--request-distribution={distribution}"]
    )
    for _ in range(ATTEMPTS):
        arguments = ["-m", model, "-u", url, "-i", protocol, "--input-data", str(input_file), *load]
        outcome, table = _run([*arguments, "-p", str(round(window_s * 1e3))])
        printed = outcome.stdout + outcome.stderr
        if outcome.returncode == 0 and table:
            return read_measurement(table, outcome.stdout)
        if not any(words in printed for words in TOO_SHORT):
            break
        window_s = min(4 * window_s, MOST_WINDOW_S)
    last = " | ".join(printed.strip().splitlines()[-4:])
    raise PerfAnalyzerError(f"perf_analyzer failed with {model}, {load[0]}, {protocol}: {last}")


def _run(arguments: list[str]) -> tuple[subprocess.CompletedProcess[str], str]:
    """One run, and the table it wrote ("" if none)."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "out.csv")
        options = ["--async", "-v", "-r", str(WINDOWS), "-s", "999", "--verbose-csv", "-f", str(table)]
        command = [str(set_up()), *arguments, *options]
        try:
            outcome = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise PerfAnalyzerError(f"perf_analyzer did not end within {TIMEOUT_S} s: {' '.join(arguments)}") from None
        return outcome, table.read_text() if table.is_file() else ""


def read_measurement(table: str, printed: str) -> Measurement:
    """The one row of its CSV file, with the throughput of the later windows from what it printed with -v."""
    row = next(csv.DictReader(io.StringIO(table)), {})
    load = row.get("Concurrency") or row.get("Request Rate")
    if load is None:
        raise PerfAnalyzerError(f"perf_analyzer wrote a table without a load: {table[:200]!r}")
    windows = [float(number) for number in re.findall(r"Pass \[\d+\] throughput: ([\d.]+)", printed)][1:]
    return Measurement(
        load=float(load),
        images_per_s=sum(windows) / len(windows) if windows else float(row["Inferences/Second"]),
        **{f"{name}_ms": float(row[f"{name} latency"]) / 1e3 for name in ("p50", "p90", "p99")},
        mean_ms=float(row["Avg latency"]) / 1e3,
    )


if __name__ == "__main__":
    try:
        print(set_up())
    except PerfAnalyzerError as failure:
        sys.exit(f"error: {failure}")
