"""Pictures for people: boxes on a picture, and how many boxes each class has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

RED, WHITE, BLACK, GREY = (255, 0, 0), (255, 255, 255), (0, 0, 0), (225, 225, 225)
SPLIT_COLOURS = ((31, 119, 180), (255, 127, 14))
PLOT_TOP_PX, PLOT_HEIGHT_PX, MARGIN_PX, GROUP_WIDTH_PX = 60, 320, 70, 160
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


def draw_histogram(class_names: Sequence[str], counts: dict[str, np.ndarray]) -> Image.Image:
    """Bars of the boxes per class, one bar for each split.

    Args:
        counts: split -> int [classes]; at most two splits.
    """
    shown = min(len(class_names), MOST_CLASSES)
    width = 2 * MARGIN_PX + GROUP_WIDTH_PX * max(1, shown)
    canvas = Image.new("RGB", (width, PLOT_TOP_PX + PLOT_HEIGHT_PX + MARGIN_PX), WHITE)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=14)
    bottom = PLOT_TOP_PX + PLOT_HEIGHT_PX
    step = _round_step(max(int(count[:shown].max(initial=1)) for count in counts.values()) / 4)
    for quarter in range(5):
        y = bottom - PLOT_HEIGHT_PX * quarter / 4
        draw.line((MARGIN_PX, y, width - MARGIN_PX, y), fill=BLACK if quarter == 0 else GREY)
        draw.text((MARGIN_PX - 8, y), str(step * quarter), fill=BLACK, font=font, anchor="rm")
    bar_px = GROUP_WIDTH_PX // 4
    for number, (split, count) in enumerate(counts.items()):
        legend_x = MARGIN_PX + 110 * number
        draw.rectangle((legend_x, 20, legend_x + 12, 32), fill=SPLIT_COLOURS[number])
        draw.text((legend_x + 18, 26), split, fill=BLACK, font=font, anchor="lm")
        for index in range(shown):
            left = MARGIN_PX + GROUP_WIDTH_PX * index + bar_px * (1 + number)
            top = bottom - PLOT_HEIGHT_PX * int(count[index]) / (4 * step)
            draw.rectangle((left, top, left + bar_px - 4, bottom), fill=SPLIT_COLOURS[number])
            draw.text((left + bar_px / 2, top - 3), str(int(count[index])), fill=BLACK, font=font, anchor="mb")
    for index, name in enumerate(class_names[:shown]):
        centre = MARGIN_PX + GROUP_WIDTH_PX * (index + 0.5)
        draw.text((centre, bottom + 8), name[:20], fill=BLACK, font=font, anchor="mt")
    draw.text((width / 2, bottom + 45), "boxes per class", fill=BLACK, font=font, anchor="mm")
    return canvas


def _round_step(least: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50, ... that is not below `least`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10
