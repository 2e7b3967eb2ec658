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

from training.paths import ROOT

PICTURES = ROOT / "docs" / "pictures"
ACCURACY, PERFORMANCE = ROOT / "docs" / "accuracy.md", ROOT / "docs" / "performance.md"
COLOURS = ("#00796b", "#e08a00", "#5e6fb5", "#b0413e", "#777777")
Table = dict[str, list[str]]


def table(page: Path, heading: str) -> Table:
    """The table whose heading begins so: its rows by their first cell, without links and emphasis."""
    lines = page.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(heading))
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


def ratios() -> Table:
    """What is served against its peers, rows of throughput alone: target, then four columns."""
    rows = table(PERFORMANCE, "| | target | BlazeFace |")
    return {name: cells for name, cells in rows.items() if name.startswith("throughput: served / ")}


def draw_times(axes: Any) -> None:
    """Bars, the fastest at the top."""
    rows = sorted(times().items(), key=lambda row: -float(row[1][0]))
    for shift, column, label in ((0.2, 0, "normal"), (-0.2, 1, "high-performance")):
        values = [float(cells[column]) for _, cells in rows]
        bars = axes.barh([y + shift for y in range(len(rows))], values, 0.38, label=label, color=COLOURS[column])
        axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_xlabel("ms for one request at a time; two cores of an AMD EPYC")
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
    axes.set(xlim=(0, 250), ylim=(0.5, 0.82), ylabel="AP on 100 photos of crowds")
    axes.set_xlabel("ms for one request: circle normal, arrow high-performance (its AP differs by .003 at most)")


def draw_ratios(axes: Any) -> None:
    """Throughput as a multiple of each peer's, and the targets."""
    columns = ("BlazeFace", "BlazeFace hpi", "FPN-SSH", "FPN-SSH hpi")
    rows = ratios()
    for column, name in enumerate(columns):
        values = [float(cells[1 + column]) for cells in rows.values()]
        places = [peer + 0.2 * column for peer in range(len(rows))]
        axes.bar_label(axes.bar(places, values, 0.19, label=name, color=COLOURS[column]), fmt="%.2f", fontsize=8)
    for peer, cells in enumerate(rows.values()):
        normal, _, fast = cells[0].partition(", hpi ")
        for column in range(len(columns)):
            target = float(fast if fast and column % 2 else normal)
            axes.plot([peer + 0.2 * column - 0.1, peer + 0.2 * column + 0.1], [target] * 2, color="black")
    names = [name.removeprefix("throughput: served / ").replace("`", "") for name in rows]
    axes.set_xticks([peer + 0.3 for peer in range(len(rows))], names)
    axes.set(ylabel="served / peer; black: target", ylim=(0, 4.2))
    axes.legend(frameon=False, ncols=4, loc="upper center")


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
    "ratios.svg": (draw_ratios, (ratios,)),
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
