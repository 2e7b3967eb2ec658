"""The benchmark: one report about everything that is served, its peers and its limits.

python -m perf.bench [--quick] [--resume] [--only SECTION,...] [--detectors NAME,...] [--cpus N,...] [--soak N]
    [--no-paddlex]

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
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from perf import cpus, functions, gpu, growth, locust_run, rounds, soak, step_times, summary, sweep
from perf.machine import describe_machine
from perf.peers import paddlex_peer
from perf.peers.paddlex_peer import PaddleXError
from perf.perf_analyzer import ACCESS
from perf.plan import SECTIONS, Progress, Unit, expected, units
from perf.raw import gather, is_current, load, save
from perf.settings import WATCHED, Settings
from perf.targets import budgets
from training.detectors import DETECTORS
from training.paths import MODEL_REPOSITORY
from tritonface_server.endpoints import Endpoints
from tritonface_server.machine import find_triton
from tritonface_server.server import TritonServer, server_environment, undrained

SERVERLESS = ("functions", "gpu", "cpus")
"""Sections that want no server, or start their own."""
BROKEN_BUDGET, FAILED_SECTION = 1, 2

Section = Callable[[TritonServer, str], Any]


def sections(settings: Settings, options: argparse.Namespace) -> dict[str, Section]:
    """How the unit of each section is measured, for the detector it is about."""
    watched = settings.watched

    def start_server(name: str) -> AbstractContextManager[TritonServer]:
        return serving(options.model_repository, name)

    return {
        "peers": lambda server, name: rounds.compare(server, name, settings, without_paddlex(options), say),
        "cpus": lambda server, name: cpus.measure(lambda: start_server(name), name, settings, say),
        "sweep": lambda server, name: sweep.measure(server, name, settings, say),
        "steps": lambda server, name: step_times.measure(server, name, settings),
        "functions": lambda server, name: functions.measure(watched, settings.function_rounds),
        "growth": lambda server, name: growth.measure(server.endpoints.grpc, watched, settings),
        "locust": lambda server, name: locust_run.headless(
            server.endpoints.http, watched, settings.locust_s, settings.locust_users
        ),
        "gpu": lambda server, name: gpu.measure(settings, options.gpu_server),
        "soak": lambda server, name: soak.run(
            server, watched, options.soak, lambda result: save(options.output, "soak.part", result)
        ),
    }


@cache
def _paddlex_reason() -> str:
    if not paddlex_peer.is_set_up():
        say("making PaddleX's environment, which takes minutes, once")
    try:
        paddlex_peer.set_up()
    except PaddleXError as error:
        say(f"without PaddleX: {error}")
        return str(error)
    return ""


def without_paddlex(options: argparse.Namespace) -> str:
    """Why PaddleX takes no part, "" if it does; makes its environment the first time."""
    return _paddlex_reason() if options.paddlex else "not wanted"


def run(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the wanted sections, each unit into its own raw file, and return all figures that are there."""
    raw = options.output
    raw.mkdir(parents=True, exist_ok=True)
    save(raw, "machine", describe_machine())  # before what is set up here keeps it busy
    wanted = options.only or [name for name in SECTIONS if name != "soak" or options.soak]
    todo = units(wanted, settings)
    if options.resume:
        todo = [unit for unit in todo if not is_current(load(raw, unit.file_name), settings)]
    if any(unit.section == "peers" for unit in todo):
        without_paddlex(options)  # not within the time of a unit
    measures, progress = sections(settings, options), Progress(expected(todo, settings.quick))
    for unit in todo:
        say(progress.next_line())
        started = time.monotonic()
        try:
            content = {"figures": measure(measures[unit.section], unit, options.model_repository, settings)}
        except Exception as error:  # whatever it is, the other units go on
            traceback.print_exc()
            say(f"{unit} could not be measured: {error}")
            content = {"failed": f"{type(error).__name__}: {error}"}
        facts = {key: value for key, value in describe_machine().items() if key in ("date", "commit")}
        stamp = {**facts, "quick": settings.quick, "seconds": time.monotonic() - started}
        save(raw, unit.file_name, {"stamp": stamp, "settings": settings.as_dict(), **content})
    return gather(raw)


def measure(section: Section, unit: Unit, model_repository: Path, settings: Settings) -> Any:
    """One unit, against a server of its own where it needs one, which has loaded the detector it is about."""
    name = unit.detector or settings.watched
    if unit.section in SERVERLESS:
        return section(None, name)
    with serving(model_repository, name) as server:
        return section(server, name)


@contextmanager
def serving(model_repository: Path, detector: str) -> Iterator[TritonServer]:
    """A server that has loaded this detector, and is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="tritonface-bench-") as folder,
        undrained(
            TritonServer(
                model_repository, Endpoints.free(), log=Path(folder, "log"), access=ACCESS, detectors=[detector]
            )
        ) as server,
    ):
        yield server


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


def detector_names(text: str) -> tuple[str, ...]:
    """The detectors of a comma-separated list, in the order of the project's."""
    names = text.split(",")
    for name in names:
        if name not in DETECTORS:
            raise argparse.ArgumentTypeError(f"there is no detector {name!r}, only {', '.join(DETECTORS)}")
    return tuple(name for name in DETECTORS if name in names)


def cpu_counts(text: str) -> tuple[int, ...]:
    """The numbers of a comma-separated list, in their order."""
    try:
        counts = sorted({int(number) for number in text.split(",")})
    except ValueError:
        counts = [0]
    if counts[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers of CPUs, such as 1,2")
    return tuple(counts)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help=f"{WATCHED} alone in 4 minutes, figures too noisy to quote"
    )
    parser.add_argument(
        "--resume", action="store_true", help="skip what was measured at this commit with these settings"
    )
    parser.add_argument("--only", type=section_names, help=f"comma-separated sections: {','.join(SECTIONS)}")
    parser.add_argument(
        "--detectors", type=detector_names, default=(), metavar="NAME,...", help=f"default: all, {', '.join(DETECTORS)}"
    )
    parser.add_argument(
        "--cpus", type=cpu_counts, metavar="N,...", help="to which the section cpus confines everything; default: 1,2,4"
    )
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


def use_the_servers_allocator(module: str) -> None:
    """Start this module anew with the server's settings of the memory allocator, which are read at the start only."""
    wanted = {
        key: value
        for key, value in server_environment(find_triton()).items()
        if key.startswith("MALLOC_") and os.environ.get(key) != value
    }
    if wanted:
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], {**os.environ, **wanted})


def main() -> int:
    """Measure, report, and say whether the budgets hold."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends what it has started
    use_the_servers_allocator("perf.bench")
    settings = Settings.short(options.detectors) if options.quick else Settings.full(options.detectors)
    if options.cpus:
        settings = replace(settings, cpus=options.cpus)
    try:
        results = run(settings, options)
    finally:  # an interrupted run leaves a report as well
        print(summary.write(gather(options.output), options.output))
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
