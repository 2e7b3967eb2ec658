"""One detected face, as results hold it."""

from __future__ import annotations

from typing import TypedDict


class Box(TypedDict):
    """One face.

    Attributes:
        cls_id: index of the label.
        label: name of the class; "face" unless the detector was trained on others.
        score: confidence in 0..1.
        coordinate: [xmin, ymin, xmax, ymax] in pixels of the upright original image.
    """

    cls_id: int
    label: str
    score: float
    coordinate: list[float]
