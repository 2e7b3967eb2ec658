"""The report's tables of what is served, its peers, and fewer CPUs."""

from __future__ import annotations

from typing import Any

from perf.markdown import cell, table
from perf.photos import TYPICAL_MEGAPIXELS
from perf.settings import IN_FLIGHT, RATE, TIME
from perf.standing import RIVALS, standings
from perf.targets import best, median, ratios

NOT_COMPARABLE = """\
What the comparison cannot do:

* PaddleX runs in one process without a server and takes one photo after the other, so its throughput is that of one
  caller. Its high-performance plugin is not in the package registry: in mode hpi it is the same PaddleX, with Paddle's
  own runtime.
* "High stability" is built the way PaddleX's is, from the same decoding, network and NMS as what is served; "as it
  comes" means the usual runtime, in mode hpi as well. It has one process, so eight requests wait for each other.
* The network asks the ledger whether others are under way, and clients that call it past the ensemble are not in there:
  "client side" gets all cores for each request even where many are under way.
* "In process" has no server, no copies between processes and no client: it is what the machine can do.
"""


def peers_part(peers: dict[str, Any]) -> list[str]:
    """Who is ahead, what is not comparable, and the medians of all contestants."""
    lines = [
        f"Photos of {TYPICAL_MEGAPIXELS} megapixels; the same weights, images and cores. All take turns, round by "
        "round; medians of the rounds.",
        "",
        *_ahead(peers),
        NOT_COMPARABLE,
    ]
    for detector, variants in peers.items():
        for variant, figures in variants.items():
            rates, times = figures[RATE], figures[TIME]
            names = [*rates, *(name for name in times if name not in rates)]
            rows = [[name, *(median(part.get(name)) for part in (rates, times))] for name in names]
            count = len(next(iter(rates.values())))
            titles = [f"{count} round{'s' if count > 1 else ''}", "images/s", "one at a time, p50 ms"]
            lines += [f"### {detector}, {variant}", "", *table(titles, rows), ""]
            lines += [f"Without {name}: {why}.\n" for name, why in figures.get("left_out", {}).items()]
    return lines


def _ahead(peers: dict[str, Any]) -> list[str]:
    """How many comparisons are lost, and the tables."""
    found = standings(peers)
    measured = [ratio for one in found for ratio in (one.latency, one.throughput) if ratio is not None]
    others = sum(one.losses for one in found if one.rival != "in process")
    latency, throughput = ahead_tables(peers)
    return [
        f"Above 1 what is served is ahead; {sum(one.losses for one in found)} of {len(measured)} comparisons are lost, "
        f"{others} of them not to the bare loop.",
        "",
        "### p50 of one request: the rival's / that of what is served",
        "",
        *latency,
        "",
        f"### Throughput with {IN_FLIGHT} requests under way: what is served / the rival",
        "",
        *throughput,
        "",
    ]


def ahead_tables(peers: dict[str, Any]) -> tuple[list[str], list[str]]:
    """For p50 and for throughput a row for each detector and variant, a column for each rival, each loss marked."""
    latency: dict[str, list[str]] = {}
    throughput: dict[str, list[str]] = {}
    for one in standings(peers):
        subject = f"{one.detector}, {one.variant}"
        latency.setdefault(subject, [subject]).append(_marked(one.latency))
        throughput.setdefault(subject, [subject]).append(_marked(one.throughput))
    titles = ["", *RIVALS.values()]
    return table(titles, latency.values()), table(titles, throughput.values())


def _marked(ratio: float | None) -> str:
    return f"{cell(ratio)}{' **loss**' if ratio is not None and ratio < 1 else ''}"


def cpus_part(confined: dict[str, Any], peers: dict[str, Any], cores: str) -> list[str]:
    """Served against the bare loops, by number of CPUs; the last ones are all of the machine's, from the peers.

    Args:
        cores: how many those are.
    """
    rows = []
    for detector, by_count in confined.items():
        for count, variants in [*by_count.items(), (cores, peers.get(detector, {}))]:
            rows += [[detector, variant, count, *_against_bare(figures)] for variant, figures in variants.items()]
    rows.sort(key=lambda row: (row[0], VARIANT_ORDER[row[1]], int(row[2])))
    titles = ["in process, p50 ms", "served, p50 ms", "ratio", "in process, images/s", "served, images/s", "ratio"]
    return [
        "Server, callers and bare loops are confined to so many CPUs, as under `taskset`.",
        "",
        *table(["", "", "CPUs", *titles], rows),
    ]


VARIANT_ORDER = {"normal": 0, "hpi": 1}


def _against_bare(figures: dict[str, dict[str, list[float]]]) -> list[float | None]:
    cells: list[float | None] = []
    for kind, least in ((TIME, True), (RATE, False)):
        bare = best(figures[kind], "in process", least)
        cells += [median(figures[kind].get(bare or "")), median(figures[kind].get("served"))]
        cells.append(median(ratios(figures[kind], "served", "in process", least)))
    return cells
