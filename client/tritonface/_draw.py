"""Boxes and scores drawn on a picture, in PaddleX's proportions. Needs no font file."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from tritonface._box import Box

BOX_COLOUR = (255, 0, 0)
TEXT_COLOUR = (255, 255, 255)


def draw_boxes(image: Image.Image, boxes: list[Box]) -> Image.Image:
    """A copy of an RGB picture with the boxes on it, the best one on top."""
    return _draw(image.copy(), boxes, BOX_COLOUR)


def draw_on_bgr(image: npt.NDArray[np.uint8], boxes: list[Box]) -> npt.NDArray[np.uint8]:
    """A copy of a picture, uint8 [H, W, 3] BGR, with the boxes on it; its channels stay where they are."""
    if not boxes:
        return image.copy()
    red, green, blue = BOX_COLOUR
    return np.array(_draw(Image.fromarray(image), boxes, (blue, green, red)))


def _draw(canvas: Image.Image, boxes: list[Box], box_colour: tuple[int, int, int]) -> Image.Image:
    draw = ImageDraw.Draw(canvas)
    line_px = max(1, int(max(canvas.size) * 0.002))
    font = _font(int(0.018 * canvas.width) + 2)
    for box in reversed(boxes):
        x_min, y_min, _, _ = box["coordinate"]
        text = f"{box['label']} {box['score']:.2f}"
        _, _, text_width, text_height = draw.textbbox((0, 0), text, font=font)
        top = y_min - text_height if y_min >= text_height else y_min  # above the box, inside at the picture's edge
        draw.rectangle((x_min, top, x_min + text_width + 1, top + text_height), fill=box_colour)
        draw.text((x_min, top), text, fill=TEXT_COLOUR, font=font)
    for box in reversed(boxes):  # after all labels, which would hide them in a crowd
        draw.rectangle(tuple(box["coordinate"]), outline=box_colour, width=line_px)
    return canvas


@lru_cache
def _font(size_px: int) -> Any:
    return ImageFont.load_default(size=size_px)  # unpacked anew by each call, which takes longer than to draw
