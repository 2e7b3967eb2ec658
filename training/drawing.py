"""Pictures for people: boxes on a picture, and how many boxes each class has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

RED, WHITE = (255, 0, 0), (255, 255, 255)
MOST_CLASSES = 50  # in one histogram


def draw_boxes(picture: Image.Image, boxes_xyxy_px: np.ndarray, labels: Sequence[str]) -> Image.Image:
    """A copy of an RGB picture with boxes and labels, in PaddleX's proportions.

    Args:
        boxes_xyxy_px: float [K, 4] in pixels of the picture, the best one first, which is drawn on top.
        labels: K texts.
    """
    canvas = picture.copy()
    draw = ImageDraw.Draw(canvas)
    line_px = max(1, int(max(canvas.size) * 0.002))
    font = ImageFont.load_default(size=int(0.018 * canvas.width) + 2)
    rows = list(zip(boxes_xyxy_px.tolist(), labels))[::-1]
    for (x_min, y_min, _, _), label in rows:
        _, _, width, height = draw.textbbox((0, 0), label, font=font)
        top = y_min - height if y_min >= height else y_min  # above the box, inside at the picture's edge
        draw.rectangle((x_min, top, x_min + width + 1, top + height), fill=RED)
        draw.text((x_min, top), label, fill=WHITE, font=font)
    for box, _ in rows:
        draw.rectangle(tuple(box), outline=RED, width=line_px)
    return canvas


def draw_histogram(class_names: Sequence[str], counts: dict[str, np.ndarray], path: Path) -> None:
    """Write bars of the boxes per class, one for each split, as a PNG picture.

    Args:
        counts: split -> int [classes].
    """
    shown = min(len(class_names), MOST_CLASSES)
    figure = Figure(figsize=(max(4.8, 1.2 * shown), 4.8), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(counts)
    for number, (split, count) in enumerate(counts.items()):
        places = np.arange(shown) + (number - (len(counts) - 1) / 2) * width
        axes.bar_label(axes.bar(places, count[:shown], width, label=split))
    axes.set_xticks(range(shown), [shown_name(name) for name in class_names[:shown]])
    axes.set_ylabel("boxes per class")
    axes.legend()
    FigureCanvasAgg(figure).print_png(path)


def shown_name(class_name: str) -> str:
    """A class name that Matplotlib shows as it is: short, no formula, and not hidden from a legend."""
    return class_name.replace("$", r"\$")[:20].lstrip("_") or class_name
