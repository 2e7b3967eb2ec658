"""The plots of docs/performance.md and docs/accuracy.md, drawn from the tables that stand there.

python -m perf.page_plots

Each picture names the digest of the figures it was drawn from, by which a test tells that it is not stale.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from perf import dots
from perf.dots import COLOURS
from perf.standing import RIVALS
from training.paths import ROOT

PICTURES = ROOT / "docs" / "pictures"
ACCURACY, PERFORMANCE = ROOT / "docs" / "accuracy.md", ROOT / "docs" / "performance.md"
Table = dict[str, list[str]]


def table(page: Path, beginning: str) -> Table:
    """The table whose heading begins so, or that follows such a line: its rows by their first cell, unadorned."""
    lines = page.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(beginning))
    start = next(index for index in range(start, len(lines)) if lines[index].startswith("|"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, *others = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cell).strip(" *") for cell in line.strip("|").split("|"))
        rows[first] = others
    return rows


def times() -> Table:
    """Milliseconds of one request: normal, high-performance."""
    return {name: cells[:2] for name, cells in table(PERFORMANCE, "| detector | normal, ms |").items()}


def accuracies() -> Table:
    """AP, AP50, precision, recall, recall by side, AP50 on other photos."""
    return table(ACCURACY, "| detector | AP |")


def latency_ratios() -> Table:
    """The p50 of each peer over that of what is served, by "detector, variant"."""
    return table(PERFORMANCE, "<!-- figures p50 -->")


def throughput_ratios() -> Table:
    """The throughput of what is served over that of each peer."""
    return table(PERFORMANCE, "<!-- figures throughput -->")


def draw_times(axes: Any) -> None:
    """Bars, the fastest at the top."""
    rows = sorted(times().items(), key=lambda row: -float(row[1][0]))
    for shift, column, label in ((0.2, 0, "normal"), (-0.2, 1, "high-performance")):
        values = [float(cells[column]) for _, cells in rows]
        bars = axes.barh([y + shift for y in range(len(rows))], values, 0.38, label=label, color=COLOURS[column])
        axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_xlabel("ms for one request at a time")
    axes.legend(loc="upper right", frameon=False)


def draw_trade(axes: Any) -> None:
    """AP against time, a line from each detector's normal to its high-performance variant."""
    accuracy = accuracies()
    for colour, (name, (normal, fast)) in zip(COLOURS, times().items()):
        ap = float(accuracy[name][0])
        axes.plot([float(normal), float(fast)], [ap, ap], color=colour, linewidth=1)
        axes.plot(float(normal), ap, "o", color=colour)
        axes.plot(float(fast), ap, ">", color=colour)
        shift = 7 if ap > 0.75 or 0.57 < ap < 0.7 else -15  # above or below, as they lie close together
        axes.annotate(name, (float(fast), ap), (0, shift), textcoords="offset points", color=colour)
    slowest_ms = max(float(normal) for normal, _ in times().values())
    axes.set(xlim=(0, 1.4 * slowest_ms), ylim=(0.5, 0.82), ylabel="AP on 100 photos of crowds")
    axes.set_xlabel("ms for one request: circle normal, arrow high-performance (its AP differs by .003 at most)")


def by_rival(rows: Table) -> dict[tuple[str, str, str], float | None]:
    """The ratios of such a table by detector, variant and rival; None was not measured."""
    return {
        (*name.split(", "), rival): None if cell == "-" else float(cell.split()[0])
        for name, cells in rows.items()
        for rival, cell in zip(RIVALS.values(), cells)
    }


def draw_latency_ratios(axes: Any) -> None:
    """A dot for each peer, detector and variant."""
    dots.draw(axes, by_rival(latency_ratios()))
    axes.set_xlabel("one request at a time: the peer's p50 / that of what is served; red: served is slower")


def draw_throughput_ratios(axes: Any) -> None:
    """The same of throughput."""
    dots.draw(axes, by_rival(throughput_ratios()))
    axes.set_xlabel("eight requests under way: what is served / the peer's throughput; red: served is slower")


def draw_recall(axes: Any) -> None:
    """Recall by the side of a face."""
    for colour, (name, cells) in zip(COLOURS, accuracies().items()):
        axes.plot([float(value) for value in cells[4].split(", ")], "o-", label=name, color=colour)
    axes.set_xticks(range(5), ["under 12", "12-20", "20-40", "40-96", "from 96"])
    axes.set(ylim=(0, 1.05), xlabel="side of the face, px at 640x640", ylabel="recall at the default threshold")
    axes.legend(frameon=False, loc="lower right")


PLOTS: dict[str, tuple[Callable[[Any], None], tuple[Callable[[], Table], ...]]] = {
    "times.svg": (draw_times, (times,)),
    "trade.svg": (draw_trade, (times, accuracies)),
    "p50.svg": (draw_latency_ratios, (latency_ratios,)),
    "throughput.svg": (draw_throughput_ratios, (throughput_ratios,)),
    "recall.svg": (draw_recall, (accuracies,)),
}
"""Each picture: who draws it, and from what."""


def digest(sources: Iterable[Callable[[], Table]]) -> str:
    """Of all figures of some tables."""
    return hashlib.sha256(repr([source() for source in sources]).encode()).hexdigest()


def main() -> int:
    """Draw all of them; returns the exit code."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "tritonface", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot

    for name, (draw, sources) in PLOTS.items():
        figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        figure.savefig(PICTURES / name, metadata={"Date": None, "Description": digest(sources)})
        pyplot.close(figure)
        print(PICTURES / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
