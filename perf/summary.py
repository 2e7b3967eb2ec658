"""The report of `make bench` in Markdown, from the raw figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perf import functions, plots
from perf.machine import LOAD
from perf.photos import TYPICAL_MEGAPIXELS
from perf.settings import VARIANTS
from perf.step_times import PARTS, breakdown_ms, cpu_breakdown_ms
from perf.targets import Check, best, budgets, evaluate

QUICK = "**Quick settings: a look at the machinery, too short for figures to be quoted.**"
BOUND = (
    '"Bound" is what a server that costs nothing would have: for a throughput the bare loop in its place, for a p99 '
    'at random arrivals an ideal queue. What bounds the rest is under "Where the time goes".'
)
BUSY_LOAD = 0.5


def write(results: dict[str, Any], folder: Path) -> Path:
    """Write report.md and its plots; the report's path."""
    images = plots.draw(results, folder)
    lines = ["# Benchmark", ""]
    if any(stamp.get("quick") for stamp in results.get("stamps", {}).values()):
        lines += [QUICK, ""]
    if float(results.get("machine", {}).get(LOAD, 0)) > BUSY_LOAD:
        lines += [f"**The machine was busy when this began: load {results['machine'][LOAD]}.**", ""]
    lines += _machine(results)
    lines += ["## Targets", "", BOUND, "", *check_table(evaluate(results)), ""]
    lines += ["## Budgets", "", "`make bench` fails if one is broken.", "", *check_table(budgets(results)), ""]
    for title, part in (
        ("Peers", _peers),
        ("perf_analyzer", _sweep),
        ("Where the time goes", _steps),
        ("Functions", _functions),
        ("Growth", _growth),
        ("locust", _locust),
        ("Long run", _soak),
        ("GPU", _gpu),
    ):
        lines += [f"## {title}", "", *part(results), ""]
    lines += ["## Plots", "", *(f"![{caption}]({name})\n" for name, caption in images)]
    report = folder / "report.md"
    report.write_text("\n".join(lines) + "\n")
    return report


def table(titles: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Lines of a Markdown table; numbers with three digits that count."""
    titles = list(titles)
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return lines + [f"| {' | '.join(map(cell, row))} |" for row in rows]


def cell(value: object) -> str:
    """Text of a table's cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)


def check_table(checks: list[Check]) -> list[str]:
    """Figures against limits."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    rows = [
        (
            check.subject,
            check.name,
            f"{'<=' if check.at_most else '>='} {check.limit:g} {check.unit}",
            check.figure,
            f"{check.spread[0]:.2f} to {check.spread[1]:.2f}" if check.spread else "",
            check.bound,
            words[check.met],
        )
        for check in checks
    ]
    return table(["", "", "target", "figure", "rounds", "bound", "met"], rows)


def _machine(results: dict[str, Any]) -> list[str]:
    stamps = results.get("stamps", {})
    rows = [(name, stamp["date"], stamp["commit"], f"{stamp['seconds']:.0f} s") for name, stamp in stamps.items()]
    return [
        "## Machine",
        "",
        *table(["", ""], results.get("machine", {}).items()),
        "",
        *table(["section", "measured", "commit", "took"], rows),
        "",
    ]


def _missing(results: dict[str, Any], section: str) -> list[str] | None:
    if section in results.get("failed", {}):
        return [f"Not measured: {results['failed'][section]}"]
    return None if results.get(section) else ["Not measured."]


def _peers(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "peers"):
        return missing
    lines = [
        f"Photos of {TYPICAL_MEGAPIXELS} megapixels; the same weights, images and cores. All take turns, round by "
        "round; medians of the rounds.",
        "",
    ]
    for detector, variants in results["peers"].items():
        for variant, figures in variants.items():
            rates, times = figures["images_per_s"], figures["latency_ms"]
            names = [*rates, *(name for name in times if name not in rates)]
            rows = [[name, *(_median(part.get(name)) for part in (rates, times))] for name in names]
            lines += [f"### {detector}, {variant}", "", *table(["", "images/s", "one at a time, p50 ms"], rows), ""]
    return lines


def _median(values: list[float] | None) -> float | None:
    return statistics.median(values) if values else None


def _sweep(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "sweep"):
        return missing
    names = {
        "grpc": "under way, gRPC",
        "http": "under way, HTTP",
        "mixed": "under way, mixed sizes",
        "constant": "per second, evenly spaced",
        "poisson": "per second, Poisson",
    }
    rows = [
        (detector, variant, f"{row['load']:.4g} {words}", *(row[key] for key in ("images_per_s", *PERCENTILES)))
        for detector, variants in results["sweep"].items()
        for variant, figures in variants.items()
        for kind, words in names.items()
        for row in figures.get(kind, [])
    ]
    return table(["", "", "requests", "images/s", "p50 ms", "p90 ms", "p99 ms"], rows)


PERCENTILES = ("p50_ms", "p90_ms", "p99_ms")


def _steps(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "steps"):
        return missing
    alone = [(entry["model"], breakdown_ms(entry)) for entry in results["steps"] if entry["in_flight"] == 1]
    lines = [
        "One request at a time, ms; the rest is the client, the connection and the ensemble's scheduler.",
        "",
        *table(["", *alone[0][1]], ([model, *times.values()] for model, times in alone)),
        "",
        *_cpu(results),
        "Below: Triton's statistics, ms per request; CPU and memory of the server's processes.",
        "",
    ]
    for entry in results["steps"]:
        used = entry["resources"]
        rows = [
            (step, *(times[part] for part in PARTS), times["per_execution"]) for step, times in entry["steps"].items()
        ]
        lines += [
            f"### {entry['model']}, {entry['in_flight']} under way",
            "",
            *table(["step", "queue", "input", "compute", "output", "requests merged"], rows),
            "",
            f"{used['images_per_s']:.1f} images/s, {used['cpu_ms_per_image']:.1f} ms of CPU per image, "
            f"{used['cores_busy']:.2f} cores busy, {used['memory_mib']:,.0f} MiB and "
            f"{used['shared_memory_mib']:,.0f} MiB in /dev/shm.",
            "",
        ]
    return lines


def _cpu(results: dict[str, Any]) -> list[str]:
    """What a saturated machine does, against what the bare loop needs."""
    rows = []
    for entry in (entry for entry in results["steps"] if entry["in_flight"] > 1):
        detector, variant = entry["model"].removesuffix("_hpi"), VARIANTS[entry["model"].endswith("_hpi")]
        rates = results.get("peers", {}).get(detector, {}).get(variant, {}).get("images_per_s", {})
        bare = _median(rates.get(best(rates, "in process") or ""))
        in_process = bare and entry["cores"] * 1e3 / bare
        rows.append({"": entry["model"], "in process": in_process, **cpu_breakdown_ms(entry)})
    words = "Saturated, core milliseconds per image: of the bare loop, and of what is served, process by process."
    return [words, "", *table(rows[0], (row.values() for row in rows)), ""] if rows else []


def _functions(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "functions"):
        return missing
    return table(["", "ms"], functions.rows(results["functions"]))


def _growth(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "growth"):
        return missing
    growth = results["growth"]
    lines = []
    for key in ("image_sizes", "faces", "batches"):
        titles = [title.replace("_", " ") for title in growth[key][0]]
        lines += [*table(titles, (point.values() for point in growth[key])), ""]
    return lines


def _locust(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "locust"):
        return missing
    locust = results["locust"]
    rows = [row.values() for row in locust["rows"]]
    titles = [title.replace("_", " ") for title in locust["rows"][0]]
    errors = [f"Failures: {'; '.join(locust['errors'])}", ""] if locust["errors"] else []
    head = f"HTTP, a ramp to {locust['users']} users who wait 0.1 to 0.5 s between photos."
    return [head, "", *errors, *table(titles, rows)]


def _soak(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "soak"):
        return [*missing, "`make bench-soak` sends 20,000 requests."]
    legs = results["soak"]["legs"]
    return table([key.replace("_", " ") for key in legs[0]], (leg.values() for leg in legs))


def _gpu(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "gpu"):
        return missing
    gpu = results["gpu"]
    if "skipped" in gpu:
        return [f"Not measured: {gpu['skipped']}."]
    rows = [(variant, gpu["bare"].get(variant), gpu["served"].get(variant)) for variant in ("normal", "hpi")]
    return [*table(["", "bare engine, images/s", "served, images/s"], rows), "", gpu.get("note", "")]
