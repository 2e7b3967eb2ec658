"""Puts the figures of a run of `make bench` into docs/performance.md, and the times of one request into the README.

python -m perf.page_tables [--results FOLDER] [--times]

A table stands between `<!-- figures NAME -->` and `<!-- end of NAME -->`; the sentences around these are for people to
write. Of a quick run, or on a busy machine, only ratios are worth anything: times are then left as they are.
`python -m perf.page_plots` draws the page's pictures anew.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from perf import check_tables
from perf.machine import LOAD
from perf.markdown import table
from perf.page_plots import PERFORMANCE
from perf.peer_tables import ahead_tables, cpus_part
from perf.raw import gather
from perf.settings import TIME
from perf.summary import BUSY_LOAD
from perf.targets import by_subject
from training.paths import ROOT

README = ROOT / "README.md"
Times = dict[str, tuple[float, float]]


def times_ms(peers: dict[str, Any]) -> Times:
    """Median p50 of one served request by detector: normal, high-performance; those with both alone."""
    return {
        name: (
            statistics.median(variants["normal"][TIME]["served"]),
            statistics.median(variants["hpi"][TIME]["served"]),
        )
        for name, variants in peers.items()
        if {"normal", "hpi"} <= variants.keys()
    }


def origin(results: dict[str, Any]) -> str:
    """Where the figures come from."""
    machine, stamps = results["machine"], results["stamps"].values()
    command = "`make bench-quick`" if any(stamp["quick"] for stamp in stamps) else "`make bench`"
    cores, load = machine["cores"].partition(" ")[0], float(machine[LOAD])
    busy = f", which others used as well (load {load:.1f})" if load > BUSY_LOAD else ""
    commits = sorted({stamp["commit"] for stamp in stamps})
    return f"{command} on {machine['date']}, {cores} cores of an {machine['processor']}{busy}, at {', '.join(commits)}."


def is_quiet(results: dict[str, Any]) -> bool:
    """Whether times were measured long enough, with nobody else there."""
    quick = any(stamp["quick"] for stamp in results["stamps"].values())
    return not quick and float(results["machine"][LOAD]) <= BUSY_LOAD


def blocks(results: dict[str, Any], times: bool) -> dict[str, list[str]]:
    """The lines of each table of the page for which there are figures, those of times only if wanted."""
    peers, shared = results.get("peers", {}), by_subject(results)[0]
    found: dict[str, list[str]] = {}
    if peers and times:
        rows = [
            (name, f"{normal:.1f}", f"{fast:.1f}", f"{normal / fast:.2f} x")
            for name, (normal, fast) in times_ms(peers).items()
        ]
        found["times"] = table(["detector", "normal, ms", "high-performance, ms", "faster by"], rows)
        found["times"] = [f"p50 in {origin(results)}", "", *found["times"]]
    if peers:
        latency, throughput = ahead_tables(peers)
        found["p50"], found["throughput"] = [*latency], [*throughput]
        found["targets"] = [f"From {origin(results)}", "", *check_tables.matrices(shared)[:-1]]
    if results.get("cpus"):
        cores = results["machine"]["cores"].partition(" ")[0]
        found["cpus"] = cpus_part(results["cpus"], peers, cores)
    return found


def replace_blocks(page: str, found: dict[str, list[str]]) -> str:
    """The page with these tables in their places.

    Raises:
        ValueError: it has no place for one.
    """
    for name, lines in found.items():
        begin, end = f"<!-- figures {name} -->", f"<!-- end of {name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no place for the figures {name!r}, from {begin} to {end}")
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2]
        page = "\n".join([f"{before}{begin}", "", *lines, "", f"{end}{after}"])
    return page


def replace_times(readme: str, times: Times) -> str:
    """The README with these times in the last two columns of its table."""
    for name, (normal, fast) in times.items():
        row = re.compile(rf"^(\| {re.escape(name)} \|.*?\|.*?\|) [\d.]+ \| [\d.]+ \|$", re.MULTILINE)
        readme = row.sub(rf"\g<1> {normal:.1f} | {fast:.1f} |", readme)
    return readme


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m perf.page_tables", description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("output", "bench"))
    parser.add_argument("--times", action="store_true", help="also where the machine was busy when the run began")
    options = parser.parse_args()
    results = gather(options.results)
    found = blocks(results, options.times or is_quiet(results)) if results["stamps"] else {}
    if not found:
        print("error: there are no figures; `make bench` measures them", file=sys.stderr)
        return 1
    PERFORMANCE.write_text(replace_blocks(PERFORMANCE.read_text(), found))
    if "times" in found:
        README.write_text(replace_times(README.read_text(), times_ms(results["peers"])))
    else:
        print("the times of one request are left as they are: a quick run, or the machine was busy when it began")
    print(f"{PERFORMANCE}: {', '.join(found)}; next: python -m perf.page_plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
