"""Where a detector is good: precision against recall, and average precision by size of the face."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pycocotools.cocoeval import COCOeval

from training.coco_format import CocoSplit
from training.evaluation.coco import MAX_DETECTIONS, NO_FACES, detection_rows, ground_truth

IOU_THRESHOLD = 0.5
SIDES_PX = (0, 12, 20, 40, 96, 1e5)  # a face's side is the square root of its area, in pixels of the photo
RECALLS = np.linspace(0, 1, 101)  # at which COCO samples precision
FIGURE_SIZE_INCHES, DPI = (6.4, 4.8), 120


@dataclass(frozen=True)
class SizeFigure:
    """How well faces of some sizes are found.

    Attributes:
        name: e.g. "12-20": sides in pixels of the photo.
        faces: annotated and not ignored.
        ap50: average precision at IoU 0.5; -1 without faces.
    """

    name: str
    faces: int
    ap50: float


@dataclass(frozen=True)
class Curves:
    """What the pictures show.

    Attributes:
        precision: float64 [101] at IoU 0.5 and `RECALLS`; -1 everywhere if nothing is annotated.
        sizes: by ascending size.
        images, faces, ignored_faces: how many there are.
    """

    precision: np.ndarray
    sizes: list[SizeFigure]
    images: int
    faces: int
    ignored_faces: int


def measure_curves(split: CocoSplit, detections: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> Curves:
    """Curves of the detections; arguments and errors are those of `training.evaluation.coco.evaluate_coco`.

    As COCO does it, faces of other sizes are ignored in the reckoning of one size, and so are detections of other
    sizes that find no face.
    """
    rows = detection_rows(split, detections)
    areas = [(float(low) ** 2, float(high) ** 2) for low, high in pairwise(SIDES_PX)]
    counted = np.concatenate([np.zeros(0), *(image.areas_px[~image.ignored] for image in split.images)])
    counts = [int(((low <= counted) & (counted < high)).sum()) for low, high in areas]
    precisions = _precisions(split, rows, [(0.0, areas[-1][1]), *areas], [len(counted), *counts])
    return Curves(
        precision=precisions[0],
        sizes=[SizeFigure(*figure) for figure in zip(_names(), counts, precisions[1:].mean(axis=1).tolist())],
        images=len(split.images),
        faces=len(counted),
        ignored_faces=sum(int(image.ignored.sum()) for image in split.images),
    )


def _precisions(
    split: CocoSplit, rows: list[dict], areas: list[tuple[float, float]], face_counts: list[int]
) -> np.ndarray:
    """Precision at IoU 0.5, float64 [sizes, 101]; -1 for sizes without faces, 0 if nothing is detected."""
    if not rows:
        return np.stack([np.full(len(RECALLS), 0.0 if count else NO_FACES) for count in face_counts])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = ground_truth(split)
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.params.iouThrs = np.array([IOU_THRESHOLD])
        evaluation.params.recThrs = RECALLS
        evaluation.params.maxDets = [MAX_DETECTIONS]
        # COCO counts a face on the border of two sizes in both.
        evaluation.params.areaRng = [[low, np.nextafter(high, 0)] for low, high in areas]
        evaluation.params.areaRngLbl = [str(number) for number in range(len(areas))]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][0, :, 0, :, 0].T


def _names() -> list[str]:
    inner = [f"{low}-{high}" for low, high in pairwise(SIDES_PX[1:-1])]
    return [f"under {SIDES_PX[1]}", *inner, f"from {SIDES_PX[-2]}"]


def draw_precision_recall(curves: Curves, title: str, output: Path) -> None:
    """Write precision against recall as a PNG picture."""
    figure, axes = _axes(title, "recall", f"precision (IoU {IOU_THRESHOLD})")
    axes.plot(RECALLS, np.maximum(curves.precision, 0))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.grid(True, alpha=0.3)
    _save(figure, output)


def draw_sizes(curves: Curves, title: str, output: Path) -> None:
    """Write average precision by size of the face as a PNG picture."""
    figure, axes = _axes(title, "side of the face in the photo, px (number of faces)", "AP50")
    heights = [max(size.ap50, 0.0) for size in curves.sizes]
    bars = axes.bar([f"{size.name}\n({size.faces})" for size in curves.sizes], heights)
    axes.bar_label(bars, [f"{size.ap50:.3f}" if size.faces else "none" for size in curves.sizes])
    axes.set_ylim(0, 1.1)
    _save(figure, output)


def _axes(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=FIGURE_SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    return figure, axes


def _save(figure: Figure, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(output)
