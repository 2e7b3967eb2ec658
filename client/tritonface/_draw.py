"""Boxes and scores drawn on a picture, in PaddleX's proportions. Needs no font file."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from tritonface._box import Box

BOX_COLOUR = (255, 0, 0)
TEXT_COLOUR = (255, 255, 255)


def draw_boxes(image: Image.Image, boxes: list[Box]) -> Image.Image:
    """A copy of an RGB picture with the boxes on it, the best one on top."""
    canvas = image.copy()
    draw = ImageDraw.Draw(canvas)
    line_px = max(1, int(max(canvas.size) * 0.002))
    font = ImageFont.load_default(size=int(0.018 * canvas.width) + 2)
    for box in reversed(boxes):
        x_min, y_min, _, _ = box["coordinate"]
        text = f"{box['label']} {box['score']:.2f}"
        _, _, text_width, text_height = draw.textbbox((0, 0), text, font=font)
        top = y_min - text_height if y_min >= text_height else y_min  # above the box, inside at the picture's edge
        draw.rectangle((x_min, top, x_min + text_width + 1, top + text_height), fill=BOX_COLOUR)
        draw.text((x_min, top), text, fill=TEXT_COLOUR, font=font)
    for box in reversed(boxes):  # after all labels, which would hide them in a crowd
        draw.rectangle(tuple(box["coordinate"]), outline=BOX_COLOUR, width=line_px)
    return canvas
