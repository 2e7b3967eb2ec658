"""The report of `make bench` in Markdown, from the raw figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perf import check_tables, functions, plots
from perf.machine import LOAD
from perf.markdown import table
from perf.peer_tables import cpus_part, peers_part
from perf.settings import VARIANTS
from perf.step_times import PARTS, breakdown_ms, cpu_breakdown_ms
from perf.targets import best, budgets, by_subject, median

QUICK = "**Quick settings: a look at the machinery, too short for figures to be quoted.**"
BOUND = (
    '"Bound" is what a server that costs nothing would have: for a throughput the bare loop in its place, for a p99 '
    'at random arrivals an ideal queue, for the p50 of one request the bare loop and "Triton alone", a request to '
    'steps that do not work. What bounds the rest is under "Where the time goes".'
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
    shared, single = by_subject(results)
    lines += ["## Targets", "", *check_tables.matrices(shared), *check_tables.full(single), ""]
    lines += ["## Budgets", "", "`make bench` fails if one is broken.", "", *check_tables.matrices([budgets(results)])]
    for title, part in (
        ("Peers", _peers),
        ("Fewer CPUs", _cpus),
        ("perf_analyzer", _sweep),
        ("Where the time goes", _steps),
        ("Functions", _functions),
        ("Growth", _growth),
        ("locust", _locust),
        ("Long run", _soak),
        ("GPU", _gpu),
    ):
        lines += [f"## {title}", "", *part(results), ""]
    lines += [
        "## Targets in full",
        "",
        BOUND,
        "",
        *check_tables.full([check for group in shared for check in group]),
        "",
    ]
    lines += ["## Plots", "", *(f"![{caption}]({name})\n" for name, caption in images)]
    report = folder / "report.md"
    report.write_text("\n".join(lines) + "\n")
    return report


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


def _failed(results: dict[str, Any], section: str) -> list[str]:
    """A line for each detector that a section could not measure, or that it has measured nothing."""
    failed = {unit: why for unit, why in results.get("failed", {}).items() if unit.split()[0] == section}
    lines = [f"{unit} was not measured: {why}\n" for unit, why in failed.items()]
    return lines or ([] if results.get(section) else ["Not measured."])


def _missing(results: dict[str, Any], section: str) -> list[str] | None:
    """The same of a section that has measured nothing at all."""
    return None if results.get(section) else _failed(results, section)


def _peers(results: dict[str, Any]) -> list[str]:
    return _failed(results, "peers") + (peers_part(results["peers"]) if results.get("peers") else [])


def _cpus(results: dict[str, Any]) -> list[str]:
    lines = _failed(results, "cpus")
    if results.get("cpus"):
        cores = results.get("machine", {}).get("cores", "").partition(" ")[0]
        lines += cpus_part(results["cpus"], results.get("peers", {}), cores)
    return lines


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
    return [*_failed(results, "sweep"), *table(["", "", "requests", "images/s", "p50 ms", "p90 ms", "p99 ms"], rows)]


PERCENTILES = ("p50_ms", "p90_ms", "p99_ms")


def _steps(results: dict[str, Any]) -> list[str]:
    if missing := _missing(results, "steps"):
        return missing
    alone = [(entry["model"], breakdown_ms(entry)) for entry in results["steps"] if entry["in_flight"] == 1]
    lines = [
        *_failed(results, "steps"),
        "One request at a time, ms; the rest is the client, the connection and the ensemble's scheduler.",
        "",
        *table(["", *alone[0][1]], ([model, *times.values()] for model, times in alone)),
        "",
        *_core_times(results),
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


def _core_times(results: dict[str, Any]) -> list[str]:
    """What a saturated machine does, against what the bare loop needs."""
    rows = []
    for entry in (entry for entry in results["steps"] if entry["in_flight"] > 1):
        detector, variant = entry["model"].removesuffix("_hpi"), VARIANTS[entry["model"].endswith("_hpi")]
        rates = results.get("peers", {}).get(detector, {}).get(variant, {}).get("images_per_s", {})
        bare = median(rates.get(best(rates, "in process") or ""))
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
