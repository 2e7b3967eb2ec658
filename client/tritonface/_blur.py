"""Faces made unrecognisable: what is left of each depends on its size, not on the picture's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from tritonface._errors import InvalidArgumentError
from tritonface._numbers import Number, number

Style = Literal["pixelate", "blur", "fill"]
STYLES: tuple[Style, ...] = ("pixelate", "blur", "fill")

CELLS = 6
"""Averages along the longer side of a widened box, of which the face itself has about four: eyes, nose and mouth fall
together. Faces are known from 16 of them by those who half close their eyes."""
MARGIN = 0.25
"""Of the box's sides, added on each: hair, ears and chin."""


def checked_blur(margin: Number, style: Style) -> tuple[float, Style]:
    """InvalidArgumentError unless both can be used."""
    share = number(margin)
    if share is None or not 0 <= share < float("inf"):
        raise InvalidArgumentError(f"margin must be a number from 0 on, got {margin!r}")
    if style not in STYLES:
        raise InvalidArgumentError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    return share, style


def hide(
    image: npt.NDArray[np.uint8], boxes_xyxy_px: Sequence[Sequence[float]], margin: float, style: Style
) -> npt.NDArray[np.uint8]:
    """A copy of a picture, uint8 [H, W, 3] of any channel order, without what is in the widened boxes."""
    hidden = image.copy()
    height, width = image.shape[:2]
    for x_min, y_min, x_max, y_max in boxes_xyxy_px:
        more_x, more_y = margin * (x_max - x_min), margin * (y_max - y_min)
        left, top = max(0, int(x_min - more_x)), max(0, int(y_min - more_y))
        right, bottom = min(width, int(np.ceil(x_max + more_x))), min(height, int(np.ceil(y_max + more_y)))
        if left < right and top < bottom:
            cell_px = max(x_max - x_min + 2 * more_x, y_max - y_min + 2 * more_y) / CELLS
            hidden[top:bottom, left:right] = _without_face(hidden[top:bottom, left:right], cell_px, style)
    return hidden


def _without_face(region: npt.NDArray[np.uint8], cell_px: float, style: Style) -> npt.NDArray[np.uint8]:
    if style == "fill":
        return np.zeros_like(region)
    height, width = region.shape[:2]
    cells = Image.fromarray(np.ascontiguousarray(region)).resize(
        (max(1, round(width / cell_px)), max(1, round(height / cell_px))), Image.Resampling.BOX
    )
    smooth = Image.Resampling.BICUBIC if style == "blur" else Image.Resampling.NEAREST
    return np.asarray(cells.resize((width, height), smooth))
