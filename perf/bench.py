"""The benchmark: one report about everything that is served, its peers and its limits.

python -m perf.bench [--quick] [--resume] [--only SECTION,...] [--detector NAME ...] [--soak N] [--no-paddlex]

The report goes to output/bench/report.md, with plots and raw JSON beside it; perf/README.md says how to read it. Exit
code 1: a budget is broken; 2: a section could not be measured.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tritonclient.utils import InferenceServerException

from perf import functions, gpu, growth, locust_run, rounds, soak, step_times, summary, sweep
from perf.locust_run import LocustError
from perf.machine import describe_machine
from perf.peers import paddlex_peer
from perf.peers.paddlex_peer import PaddleXError
from perf.perf_analyzer import ACCESS, PerfAnalyzerError
from perf.raw import SECTIONS, gather, is_current, load, save
from perf.settings import MEASURED, WATCHED, Settings
from perf.targets import budgets
from perf.workers import WorkerError
from training.detectors import DETECTORS
from training.paths import MODEL_REPOSITORY
from tritonface import TritonFaceError
from tritonface_server.endpoints import Endpoints
from tritonface_server.machine import LaunchError, find_triton
from tritonface_server.server import TritonServer, server_environment

SERVERLESS = ("functions", "gpu")
FAILURES = (
    PerfAnalyzerError,
    PaddleXError,
    LocustError,
    WorkerError,
    LaunchError,
    InferenceServerException,
    TritonFaceError,
)
"""What a section may fail with while the others go on."""
BROKEN_BUDGET, FAILED_SECTION = 1, 2

Section = Callable[[TritonServer], Any]


def sections(settings: Settings, options: argparse.Namespace) -> dict[str, Section]:
    """How each section is measured."""
    return {
        "peers": lambda server: rounds.compare(server, settings, has_paddlex(options), say),
        "sweep": lambda server: sweep.measure(server, settings, say),
        "steps": lambda server: step_times.measure(server, settings),
        "functions": lambda server: functions.measure(WATCHED, settings.function_rounds),
        "growth": lambda server: growth.measure(server.endpoints.grpc, WATCHED, settings),
        "locust": lambda server: locust_run.headless(server.endpoints.http, WATCHED, settings.locust_s),
        "gpu": lambda server: gpu.measure(settings, options.gpu_server),
        "soak": lambda server: soak.run(server, options.soak, lambda result: save(options.output, "soak.part", result)),
    }


def has_paddlex(options: argparse.Namespace) -> bool:
    """Whether PaddleX can take part; makes its environment the first time."""
    if options.paddlex:
        say("PaddleX's environment; making it takes minutes, once")
        try:
            paddlex_peer.set_up()
        except PaddleXError as error:
            say(f"without PaddleX: {error}")
            return False
    return options.paddlex


def run(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the wanted sections, each into its own raw file, and return all figures that are there."""
    raw = options.output
    raw.mkdir(parents=True, exist_ok=True)
    wanted = options.only or [name for name in SECTIONS if name != "soak" or options.soak]
    if options.resume:
        wanted = [name for name in wanted if not is_current(load(raw, name), settings)]
    save(raw, "machine", describe_machine())
    measures = sections(settings, options)
    for name in wanted:
        say(f"== {name}")
        started = time.monotonic()
        try:
            content = {"figures": measure(measures[name], name, options.model_repository, settings.detectors)}
        except FAILURES as error:
            say(f"{name} could not be measured: {error}")
            content = {"failed": str(error)}
        facts = {key: value for key, value in describe_machine().items() if key in ("date", "commit")}
        stamp = {**facts, "quick": settings.quick, "seconds": time.monotonic() - started}
        save(raw, name, {"stamp": stamp, "settings": settings.as_dict(), **content})
    return gather(raw)


def measure(section: Section, name: str, model_repository: Path, detectors: tuple[str, ...]) -> Any:
    """One section, against a server of its own where it needs one, which has loaded these detectors."""
    if name in SERVERLESS:
        return section(None)
    with (
        tempfile.TemporaryDirectory(prefix="tritonface-bench-") as folder,
        TritonServer(
            model_repository, Endpoints.free(), log=Path(folder, "log"), access=ACCESS, detectors=detectors
        ) as server,
    ):
        return section(server)


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def section_names(text: str) -> list[str]:
    """The sections of a comma-separated list."""
    names = text.split(",")
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"there is no section {name!r}, only {', '.join(SECTIONS)}")
    return names


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="about 4 minutes instead of 25, figures too noisy to quote"
    )
    parser.add_argument(
        "--resume", action="store_true", help="skip what was measured at this commit with these settings"
    )
    parser.add_argument("--only", type=section_names, help=f"comma-separated sections: {','.join(SECTIONS)}")
    parser.add_argument("--detector", action="append", choices=DETECTORS, help=f"default: {' and '.join(MEASURED)}")
    parser.add_argument(
        "--soak", type=int, default=0, metavar="N", help="requests of the long run; 20000 is the target's"
    )
    parser.add_argument(
        "--no-paddlex", dest="paddlex", action="store_false", help="leave PaddleX out (2 GB of packages)"
    )
    parser.add_argument("--gpu-server", metavar="HOST:PORT", help="gRPC address of a Triton that serves on a GPU")
    parser.add_argument("--model-repository", type=Path, default=MODEL_REPOSITORY)
    parser.add_argument("--output", type=Path, default=Path("output", "bench"))
    options = parser.parse_args(arguments)
    if options.only and "soak" in options.only and not options.soak:
        parser.error("the section soak needs --soak N, the number of requests")
    return options


def use_the_servers_allocator() -> None:
    """Start this program anew with the server's settings of the memory allocator, which are read at the start only."""
    wanted = {
        key: value
        for key, value in server_environment(find_triton()).items()
        if key.startswith("MALLOC_") and os.environ.get(key) != value
    }
    if wanted:
        os.execve(sys.executable, [sys.executable, "-m", "perf.bench", *sys.argv[1:]], {**os.environ, **wanted})


def main() -> int:
    """Measure, report, and say whether the budgets hold."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends what it has started
    use_the_servers_allocator()
    names = tuple(options.detector or ())
    settings = Settings.short(names) if options.quick else Settings.full(names)
    results = run(settings, options)
    print(summary.write(results, options.output))
    code, lines = verdict(results)
    print("\n".join(lines))
    return code


def verdict(results: dict[str, Any]) -> tuple[int, list[str]]:
    """Exit code, and a line for each broken budget and each section that could not be measured."""
    broken = [check for check in budgets(results) if check.met is False]
    lines = [
        f"error: budget broken: {check.subject}: {check.name} is {check.figure:.2f}, "
        f"{'more' if check.at_most else 'less'} than {check.limit:g}"
        for check in broken
    ]
    lines += [f"error: {name} was not measured: {why}" for name, why in results["failed"].items()]
    return BROKEN_BUDGET if broken else FAILED_SECTION if results["failed"] else 0, lines


if __name__ == "__main__":
    sys.exit(main())
