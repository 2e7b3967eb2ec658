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
COARSE_ENOUGH = 1.25
"""So much longer than a face a region must be for its averages to hide that face as well: five along it."""

Region = tuple[float, float, float, float]


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
    done: list[Region] = []
    for box in boxes_xyxy_px:
        if any(_covers(region, box) for region in done):
            continue
        x_min, y_min, x_max, y_max = box
        more_x, more_y = margin * (x_max - x_min), margin * (y_max - y_min)
        done.append((x_min - more_x, y_min - more_y, x_max + more_x, y_max + more_y))
        left, top = max(0, int(x_min - more_x)), max(0, int(y_min - more_y))
        right, bottom = min(width, int(np.ceil(x_max + more_x))), min(height, int(np.ceil(y_max + more_y)))
        if left < right and top < bottom:
            cell_px = _longer_side(done[-1]) / CELLS
            hidden[top:bottom, left:right] = _without_face(hidden[top:bottom, left:right], cell_px, style)
    return hidden


def _covers(region: Region, box_xyxy_px: Sequence[float]) -> bool:
    """Whether a box lies within a region that is hidden already, with averages as coarse as its own, or nearly."""
    x_min, y_min, x_max, y_max = box_xyxy_px
    inside = region[0] <= x_min and region[1] <= y_min and x_max <= region[2] and y_max <= region[3]
    return inside and _longer_side(region) >= COARSE_ENOUGH * _longer_side(box_xyxy_px)


def _longer_side(xyxy_px: Sequence[float]) -> float:
    return max(xyxy_px[2] - xyxy_px[0], xyxy_px[3] - xyxy_px[1])


def _without_face(region: npt.NDArray[np.uint8], cell_px: float, style: Style) -> npt.NDArray[np.uint8]:
    if style == "fill":
        return np.zeros_like(region)
    height, width = region.shape[:2]
    cells = Image.fromarray(np.ascontiguousarray(region)).resize(
        (max(1, round(width / cell_px)), max(1, round(height / cell_px))), Image.Resampling.BOX
    )
    smooth = Image.Resampling.BICUBIC if style == "blur" else Image.Resampling.NEAREST
    return np.asarray(cells.resize((width, height), smooth))
