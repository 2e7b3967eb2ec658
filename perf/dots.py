"""A plot of ratios to several rivals: a row for each rival, a dot for each detector and variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLOURS = ("#00796b", "#e08a00", "#5e6fb5", "#b0413e", "#777777")
MARKERS = {"normal": "o", "hpi": ">"}
TICKS = (0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10)
ROOM = 1.15
"""Between the outermost dots and the frame, as a factor."""


def draw(axes: Any, ratios: Mapping[tuple[str, str, str], float | None]) -> None:
    """Ratios by detector, variant and rival on a logarithmic scale; where they are below 1 the ground is red."""
    detectors, rivals = (list(dict.fromkeys(key[place] for key in ratios)) for place in (0, 2))
    rows = [(detector, variant) for detector in detectors for variant in MARKERS]
    found = {key: ratio for key, ratio in ratios.items() if ratio is not None}
    for (detector, variant, rival), ratio in found.items():
        height = rivals.index(rival) + 0.8 * (rows.index((detector, variant)) + 0.5) / len(rows) - 0.4
        colour = COLOURS[detectors.index(detector)]
        axes.plot(ratio, height, MARKERS[variant], color=colour, markersize=5)
    left, right = min([*found.values(), 0.9]) / ROOM, max([*found.values(), 1.5]) * ROOM
    axes.set(xscale="log", xlim=(left, right), ylim=(len(rivals) - 0.5, -0.5))
    ticks = [tick for tick in TICKS if left <= tick <= right]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(rivals)), rivals)
    axes.axvspan(left, 1, color="#b0413e", alpha=0.12, linewidth=0)
    axes.axvline(1, color="black", linewidth=1)
    for line in range(1, len(rivals)):
        axes.axhline(line - 0.5, color="#cccccc", linewidth=0.8)
    for colour, detector in zip(COLOURS, detectors):
        axes.plot([], [], "s", color=colour, label=detector)
    for variant, marker in MARKERS.items():
        axes.plot([], [], marker, color="black", label=variant)
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.4, -0.16))
