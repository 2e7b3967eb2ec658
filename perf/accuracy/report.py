"""The report of `make accuracy` in Markdown, with precision-recall curves as pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from perf.accuracy.figures import THRESHOLDS, Figures
from perf.machine import describe_machine
from perf.summary import table
from training.evaluation.curves import IOU_THRESHOLD, RECALLS
from training.paths import ROOT

CARDS = ROOT / "weights"
INTRODUCTION = """\
Measured through the SDK from a real server at each detector's own input size, one photo after the other. AP and AP50
are COCO's; all else is at IoU {iou}. P and R are precision and recall of what a threshold leaves; a size is the square
root of a face's area in pixels of the photo. The threshold is the detector's default; YuNet's is the one that suits it
best on these photos (OpenCV's own default, 0.9, is stricter). Photos: {photos} with {faces} faces, from {source}.
"""

Rows = Mapping[str, Figures]
"""By name: "normal", "hpi", or that of a peer."""


def write(
    detectors: Mapping[str, Rows], peers: Rows, photos: int, face_counts: Mapping[str, int], source: str, folder: Path
) -> Path:
    """Write report.md, its pictures and all figures as report.json; the report's path.

    Args:
        detectors: by name, what is served of each.
        face_counts: size of the face -> how many there are.
        source: of the photos, for the record.
    """
    folder.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    facts = {"photos": photos, "faces": sum(face_counts.values()), "source": source}
    lines = ["# How good the detectors are", "", INTRODUCTION.format(iou=IOU_THRESHOLD, **facts)]
    lines += [f"{machine['date']}, commit {machine['commit']}, {machine['processor']}.", ""]
    everything = {f"{name}, {row}": figures for name, rows in detectors.items() for row, figures in rows.items()}
    lines += [*_main_table({**everything, **peers}), ""]
    normal = {name: rows["normal"] for name, rows in detectors.items()}
    lines += [_drawn({**normal, **peers}, "All detectors", folder / "all.png"), ""]
    for name, rows in detectors.items():
        lines += [f"## {name}", "", _about_threshold(rows["normal"]), ""]
        lines += [*_main_table({**rows, **peers}), "", *_size_table({**rows, **peers}, face_counts), ""]
        lines += [_drawn({**rows, **peers}, name, folder / f"{name}.png"), "", *_card(name)]
    report = folder / "report.md"
    report.write_text("\n".join(lines) + "\n")
    raw = {"machine": machine, **facts, "figures": {name: asdict(row) for name, row in {**everything, **peers}.items()}}
    (folder / "report.json").write_text(json.dumps(raw, indent=1) + "\n")
    return report


def _main_table(rows: Rows) -> list[str]:
    at = [f"P / R at {threshold}" for threshold in THRESHOLDS]
    titles = ["", "AP", "AP50", *at, "threshold", "F1", "best F1, at"]
    return table(
        titles,
        (
            [
                *(name, _short(row.ap), _short(row.ap50)),
                *(" / ".join(map(_short, row.at[threshold])) for threshold in THRESHOLDS),
                *(f"{row.threshold:g}", _short(row.f1), f"{_short(row.best_f1)}, {row.best:.2f}"),
            ]
            for name, row in rows.items()
        ),
    )


def _size_table(rows: Rows, face_counts: Mapping[str, int]) -> list[str]:
    titles = ["recall at the threshold, by side, px", *(f"{name} ({count})" for name, count in face_counts.items())]
    found = ([name, *map(_short, row.recall_by_size.values())] for name, row in rows.items())
    return table(titles, found)


def _about_threshold(row: Figures) -> str:
    precision, recall = map(_short, row.at[row.threshold])
    return (
        f"At its default threshold, {row.threshold:g}, {precision} of the boxes are faces and {recall} of the faces "
        f"are found. F1 is {_short(row.f1)} there and {_short(row.best_f1)} at best, at {row.best:.2f}."
    )


def _short(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}".removeprefix("0")


def _card(name: str) -> list[str]:
    """What the card of the weights says of these and other photos, as it stands there."""
    card = CARDS / f"{name}.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    section = re.search(r"^## Accuracy.*?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return [f"From the card `{card.relative_to(ROOT)}`:", "", section[1].strip(), ""] if section else []


def _drawn(rows: Rows, title: str, file: Path) -> str:
    """Draw precision against recall, a dot at each of `THRESHOLDS`; the Markdown that shows it."""
    figure = Figure(figsize=(7, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for name, row in rows.items():
        (line,) = axes.plot(RECALLS, [max(precision, 0) for precision in row.curve], label=name)
        precisions, recalls = zip(*(row.at[threshold] for threshold in THRESHOLDS))
        axes.plot(recalls, precisions, "o", markersize=4, color=line.get_color())
        for threshold, place in zip(THRESHOLDS, zip(recalls, precisions)):
            text, offset = f"{threshold:g}", {"textcoords": "offset points", "xytext": (4, 4)}
            axes.annotate(text, place, **offset, fontsize=6, color=line.get_color())
    axes.set(title=title, xlabel="recall", ylabel=f"precision (IoU {IOU_THRESHOLD})", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")
    FigureCanvasAgg(figure).print_png(file)
    return f"![{title}: precision against recall]({file.name})"
