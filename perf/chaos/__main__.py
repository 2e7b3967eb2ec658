"""Do to the server what strangers and bad luck do, and write what was lost into one table.

python -m perf.chaos [--quick] [--only NAME,...] [--requests N]

The table goes to output/chaos/report.md, all figures to report.json beside it. Exit code 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import psutil
from tritonclient.utils import InferenceServerException

from perf.chaos import faults, long_run, overload, starts
from perf.chaos.callers import PROTOCOLS
from perf.chaos.faults import HPI, NORMAL
from perf.chaos.launched import Launched
from perf.chaos.row import Promise, Row
from perf.machine import describe_machine
from perf.summary import table
from training.paths import MODEL_REPOSITORY
from tritonface import TritonFaceError

Experiment = Callable[[Path], Row]
"""What is done in an empty folder."""

STEPS = ("preprocess", "detector", "postprocess")


def experiments(seconds: float, requests: int) -> Iterator[tuple[str, Experiment]]:
    """All of them by name; one of a name's first word is chosen by it."""
    for name, (factor, deadline_s) in overload.LOADS.items():
        for protocol in PROTOCOLS:
            act = partial(overload.overload, protocol=protocol, factor=factor, deadline_s=deadline_s, seconds=seconds)
            yield f"overload {name} {protocol}", with_server(act)
    for protocol in PROTOCOLS:
        yield f"callers {protocol}", with_server(partial(overload.many_callers, protocol=protocol))
    for step in STEPS:
        spared = [HPI] if step == "detector" else []
        killed = faults.kill_stubs(step)
        yield (
            f"kill {step}",
            hit(f"kill -9 of all processes of {step}", killed, spared, goes_on_s=1, back_s=3, told_s=1),
        )
    for step in STEPS[:2]:  # of which there are two on two CPUs
        killed = faults.kill_stubs(step, 1)
        yield f"kill-one {step}", hit(f"kill -9 of one process of {step}", killed, [NORMAL, HPI], goes_on_s=1)
    yield "kill tritonserver", hit("kill -9 of tritonserver", faults.kill_the_server, [], back_s=8, told_s=1)
    yield "kill launcher", asked(faults.kill_the_launcher)
    yield (
        "stop stub",
        hit(
            "a process of detector stopped for 20 s",
            faults.stop_a_stub("detector", 20),
            [NORMAL, HPI],
            goes_on_s=2,
            back_s=12,
            same=0,
        ),
    )
    yield "end SIGTERM", asked(partial(faults.end_under_load, sent=[signal.SIGTERM]))
    yield "end Ctrl-C", asked(partial(faults.end_under_load, sent=[signal.SIGINT, signal.SIGINT]))
    yield "start dies", starts.dies_at_each_start
    yield "start corrupt", starts.one_corrupt_network
    yield "start twice", starts.two_at_once
    yield (
        "start handles",
        partial(starts.refused, "ulimit -n 64", repository=MODEL_REPOSITORY, command=starts.limited_handles()),
    )
    small = starts.with_mount("mount -t tmpfs -o size=8m none /dev/shm")
    yield "start shm", partial(starts.refused, "/dev/shm of 8 MB", repository=MODEL_REPOSITORY, command=small)
    yield "start disk", starts.full_disk
    yield "start stdout", partial(starts.works, "stdout closed", command=starts.without_stdout())
    yield "start read-only", starts.read_only_repository
    yield "long", with_server(partial(long_run.long_run, requests=requests))


def with_server(act: Callable[[Launched], Row]) -> Experiment:
    """Do it to a server of its own."""

    def experiment(folder: Path) -> Row:
        with Launched(MODEL_REPOSITORY, folder) as server:
            return act(server)

    return experiment


def asked(act: Callable[[Launched, list[Path]], Row]) -> Experiment:
    """Do it to a server of its own, with photos for callers to ask about."""

    def experiment(folder: Path) -> Row:
        photos = folder / "photos"
        photos.mkdir()
        return with_server(lambda server: act(server, faults.photos(photos)))(folder)

    return experiment


def hit(name: str, fault: faults.Fault, spared: list[str], **bounds: float) -> Experiment:
    """A fault under load."""
    return asked(lambda server, photos: faults.under_load(server, name, fault, photos, spared, **bounds))


def run(chosen: list[tuple[str, Experiment]], output: Path) -> list[Row]:
    """Do them one after the other; the report is there after each."""
    output.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for name, experiment in chosen:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tritonface-chaos-") as folder:
            try:
                row = experiment(Path(folder))
            except (OSError, RuntimeError, TritonFaceError, InferenceServerException, psutil.Error) as error:
                row = Row(
                    name, "-", [Promise("could be done", 0, 1, at_least=True)], [f"{type(error).__name__}: {error}"]
                )
        rows.append(row)
        outcome = "kept" if row.kept else "BROKEN"
        print(f"{time.monotonic() - started:5.0f} s  {outcome:6}  {name}", file=sys.stderr, flush=True)
        write(rows, output)
    return rows


def write(rows: list[Row], output: Path) -> None:
    """The table and the figures."""
    machine = describe_machine()
    facts = f"{machine['processor']}, {machine['cores']}, commit {machine['commit']}, {machine['date']}"
    kept = sum(row.kept for row in rows)
    lines = [
        "# What it stands",
        "",
        facts,
        "",
        f"{kept} of {len(rows)} rows kept all promises; broken ones are bold.",
        "",
    ]
    lines += table(["what was done", "load", "promises", "notes"], [row.cells() for row in rows])
    (output / "report.md").write_text("\n".join(lines) + "\n")
    (output / "report.json").write_text(json.dumps([asdict(row) for row in rows], indent=1))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short runs: a look in some 9 minutes")
    parser.add_argument("--only", metavar="NAME,...", help="beginnings of names, 'overload' or 'kill detector'")
    parser.add_argument("--requests", type=int, metavar="N", help="of the long run (default: 50,000; 2,000 if quick)")
    parser.add_argument("--output", type=Path, default=Path("output", "chaos"), metavar="DIR")
    return parser.parse_args(arguments)


def choose(everything: list[tuple[str, Experiment]], wanted: str) -> list[tuple[str, Experiment]]:
    """Those whose names begin with one of the comma-separated words."""
    beginnings = tuple(f"{words.strip()} ".lstrip() for words in wanted.split(","))
    return [(name, act) for name, act in everything if f"{name} ".startswith(beginnings)]


def main(arguments: list[str] | None = None) -> int:
    """Run what was chosen."""
    options = parse(arguments)
    requests = options.requests or (2_000 if options.quick else 50_000)
    everything = list(experiments(8 if options.quick else 30, requests))
    chosen = choose(everything, options.only or "")
    if not chosen:
        print(f"error: none of {', '.join(name for name, _ in everything)} begins so", file=sys.stderr)
        return 2
    return 0 if all(row.kept for row in run(chosen, options.output)) else 1


if __name__ == "__main__":
    sys.exit(main())
