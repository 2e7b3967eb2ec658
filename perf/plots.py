"""The report's plots, as PNG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from perf import dots
from perf.standing import RIVALS, standings


def draw(results: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Draw what was measured; file names and captions."""
    drawings: list[tuple[str, str, Callable[[Any, Axes], None], Any]] = [
        ("peers_p50.png", "One request at a time: what is served and its peers", _peers_p50, results.get("peers")),
        (
            "peers_throughput.png",
            "Eight requests under way: what is served and its peers",
            _peers_throughput,
            results.get("peers"),
        ),
        ("concurrency.png", "Throughput against requests under way", _concurrency, results.get("sweep")),
        ("latency.png", "Latency against requests under way", _latency, results.get("sweep")),
        ("image_size.png", "Latency against the size of the image", _image_sizes, results.get("growth")),
        ("faces.png", "Latency against the faces in the image", _faces, results.get("growth")),
        ("batch.png", "Cost of an image against the images in a request", _batches, results.get("growth")),
        ("locust.png", "Users, requests and latency over a run of locust", _ramp, results.get("locust")),
        ("soak.png", "Memory of the server over a long run", _soak, results.get("soak")),
    ]
    drawn = []
    for name, caption, function, figures in drawings:
        if not figures:
            continue
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        function(figures, axes)
        axes.set_title(caption)
        axes.grid(alpha=0.3)
        if axes.get_legend() is None and axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
        figure.savefig(folder / name, dpi=120)
        plt.close(figure)
        drawn.append((name, caption))
    return drawn


def _peers_p50(peers: dict[str, Any], axes: Axes) -> None:
    dots.draw(axes, {(one.detector, one.variant, RIVALS[one.rival]): one.latency for one in standings(peers)})
    axes.set_xlabel("its p50 / that of what is served; red: served is slower")


def _peers_throughput(peers: dict[str, Any], axes: Axes) -> None:
    dots.draw(axes, {(one.detector, one.variant, RIVALS[one.rival]): one.throughput for one in standings(peers)})
    axes.set_xlabel("what is served / its throughput; red: served is slower")


def _curves(sweep: dict[str, Any], axes: Axes, key: str) -> None:
    for colour, (detector, variants) in zip(dots.COLOURS, sweep.items()):
        for variant, figures in variants.items():
            for protocol, line in (("grpc", "-"), ("http", ":")):
                rows = figures.get(protocol, [])
                if rows:
                    axes.plot(
                        [row["load"] for row in rows],
                        [row[key] for row in rows],
                        f"{dots.MARKERS[variant]}{line}",
                        color=colour,
                        label=f"{detector}, {variant}, {protocol}",
                    )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("requests under way")


def _concurrency(sweep: dict[str, Any], axes: Axes) -> None:
    _curves(sweep, axes, "images_per_s")
    axes.set_ylabel("images per second")
    axes.set_ylim(bottom=0)


def _latency(sweep: dict[str, Any], axes: Axes) -> None:
    _curves(sweep, axes, "p50_ms")
    axes.set_yscale("log")
    axes.set_ylabel("p50, ms")


def _lines(points: list[dict[str, float]], cause: str, axes: Axes) -> None:
    for key, label in (("served_ms", "served"), ("in_process_ms", "in process"), ("decode_ms", "decoding alone")):
        axes.plot([point[cause] for point in points], [point[key] for point in points], marker="o", label=label)
    axes.set_ylabel("p50, ms")
    axes.set_ylim(bottom=0)


def _image_sizes(growth: dict[str, Any], axes: Axes) -> None:
    _lines(growth["image_sizes"], "megapixels", axes)
    axes.set_xlabel("megapixels")


def _faces(growth: dict[str, Any], axes: Axes) -> None:
    _lines(growth["faces"], "faces", axes)
    axes.set_xlabel("faces found")


def _batches(growth: dict[str, Any], axes: Axes) -> None:
    points = growth["batches"]
    axes.plot([point["images"] for point in points], [point["ms_per_image"] for point in points], marker="o")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("images per request")
    axes.set_ylabel("ms per image")
    axes.set_ylim(bottom=0)


def _ramp(locust: dict[str, Any], axes: Axes) -> None:
    rows = locust["ramp"]
    seconds = [row["second"] for row in rows]
    for key, label in (("users", "users"), ("requests_per_s", "requests per second")):
        axes.plot(seconds, [row[key] for row in rows], label=label)
    axes.plot(seconds, [row["p95_ms"] / 100 for row in rows], label="p95, units of 100 ms")
    axes.set_xlabel("seconds")


def _soak(soak: dict[str, Any], axes: Axes) -> None:
    legs = soak["legs"]
    for key, label in (("memory_mib", "processes (PSS)"), ("shared_memory_mib", "/dev/shm")):
        axes.plot([leg["requests"] for leg in legs], [leg[key] for leg in legs], marker="o", label=label)
    axes.set_xlabel("requests")
    axes.set_ylabel("MiB")
    axes.set_ylim(bottom=0)
