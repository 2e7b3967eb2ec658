"""Where a detector is good: precision against recall, and average precision by size of the face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.coco_format import CocoSplit
from training.drawing import shown_name
from training.evaluation.coco import NO_FACES, detection_rows, matched, mean_of_annotated
from tritonface_server.detections import Detections

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
        ap50: average precision at IoU 0.5, the mean of the classes that have such faces; -1 without faces.
    """

    name: str
    faces: int
    ap50: float


@dataclass(frozen=True)
class Curves:
    """What the pictures show.

    Attributes:
        precision: float64 [101] at IoU 0.5 and `RECALLS` of each class, by its name; -1 everywhere if nothing is
            annotated.
        sizes: by ascending size.
        images, faces, ignored_faces: how many there are.
    """

    precision: dict[str, np.ndarray]
    sizes: list[SizeFigure]
    images: int
    faces: int
    ignored_faces: int


def measure_curves(split: CocoSplit, detections: Mapping[int, Detections]) -> Curves:
    """Curves of the detections; arguments and errors are those of `training.evaluation.coco.evaluate_classes`.

    As COCO does it, faces of other sizes are ignored in the reckoning of one size, and so are detections of other
    sizes that find no face.
    """
    rows = detection_rows(split, detections)
    areas = [(float(low) ** 2, float(high) ** 2) for low, high in pairwise(SIDES_PX)]
    ranges = [(0.0, areas[-1][1]), *areas]
    counts = _face_counts(split, ranges)
    precisions = _precisions(split, rows, ranges) if rows else _of_nothing(counts)
    total, *of_sizes = counts.sum(axis=0).tolist()
    ap50s = [mean_of_annotated(precisions[:, size]) for size in range(1, len(ranges))]
    return Curves(
        precision=dict(zip(split.class_names, precisions[:, 0])),
        sizes=[SizeFigure(*figure) for figure in zip(_names(), of_sizes, ap50s)],
        images=len(split.images),
        faces=total,
        ignored_faces=sum(int(image.ignored.sum()) for image in split.images),
    )


def _face_counts(split: CocoSplit, ranges: list[tuple[float, float]]) -> np.ndarray:
    """How many faces of each class are annotated and not ignored in each range of areas, int [classes, ranges]."""
    kept = [~image.ignored for image in split.images]
    areas = np.concatenate([np.zeros(0), *(image.areas_px[keep] for image, keep in zip(split.images, kept))])
    classes = np.concatenate([np.zeros(0, int), *(image.class_ids[keep] for image, keep in zip(split.images, kept))])
    inside = [classes[(low <= areas) & (areas < high)] for low, high in ranges]
    return np.stack([np.bincount(ids, minlength=len(split.class_names)) for ids in inside], axis=1)


def _of_nothing(counts: np.ndarray) -> np.ndarray:
    """What `_precisions` would give without any detection."""
    return np.where(counts > 0, 0.0, NO_FACES)[..., None].repeat(len(RECALLS), axis=-1)


def _precisions(split: CocoSplit, rows: list[dict], ranges: list[tuple[float, float]]) -> np.ndarray:
    """Precision at IoU 0.5, float64 [classes, ranges of areas, 101]; -1 where there are no faces."""
    evaluation = matched(
        split,
        rows,
        iouThrs=np.array([IOU_THRESHOLD]),
        recThrs=RECALLS,
        # COCO counts a face on the border of two sizes in both.
        areaRng=[[low, np.nextafter(high, 0)] for low, high in ranges],
        areaRngLbl=[str(number) for number in range(len(ranges))],
    )
    return evaluation.eval["precision"][0, ..., 0].transpose(1, 2, 0)


def _names() -> list[str]:
    inner = [f"{low}-{high}" for low, high in pairwise(SIDES_PX[1:-1])]
    return [f"under {SIDES_PX[1]}", *inner, f"from {SIDES_PX[-2]}"]


def draw_precision_recall(curves: Curves, title: str, output: Path) -> None:
    """Write precision against recall as a PNG picture, a line for each class."""
    figure, axes = _axes(title, "recall", f"precision (IoU {IOU_THRESHOLD})")
    for name, precision in curves.precision.items():
        axes.plot(RECALLS, np.maximum(precision, 0), label=shown_name(name))
    if len(curves.precision) > 1:
        axes.legend()
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
