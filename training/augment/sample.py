"""What an augmentation takes and returns: a picture and the boxes on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

IGNORED = -1
"""The label of a box that is neither a face to learn nor background: nothing is to be learnt from what is in it."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Sample:
    """A picture and what is annotated on it. No augmentation writes into the arrays it was given.

    Attributes:
        picture: uint8 [H, W, 3] BGR; may be a view into a larger picture.
        boxes_xyxy_px: float32 [K, 4] in pixels of the picture, inside it, none of them empty.
        labels: int64 [K]; `IGNORED` for what nothing is to be learnt from.
    """

    picture: np.ndarray
    boxes_xyxy_px: np.ndarray
    labels: np.ndarray

    @property
    def size_wh(self) -> tuple[int, int]:
        """Pixels of the picture, (width, height)."""
        height, width = self.picture.shape[:2]
        return width, height

    @property
    def is_face(self) -> np.ndarray:
        """Which boxes are faces to learn, bool [K]."""
        return self.labels != IGNORED

    def where(self, kept: np.ndarray) -> Sample:
        """The sample with the boxes of the mask `kept`, bool [K]."""
        return replace(self, boxes_xyxy_px=self.boxes_xyxy_px[kept], labels=self.labels[kept])


Augmentation = Callable[[Sample, np.random.Generator], Sample]

Others = Callable[[np.random.Generator], Sample]
"""A picture of the data set, drawn at random."""


class Compose(Protocol):
    """How a picture becomes one to learn from, with the help of others where a recipe puts several together."""

    def __call__(
        self, sample: Sample, others: Others, rng: np.random.Generator, *, size_px: int, interpolation: int
    ) -> Sample:
        """A square of `size_px`.

        Args:
            interpolation: one of OpenCV's `cv2.INTER_...`, for a picture that is stretched to the square as a whole.
        """


def pad_boxes(boxes_xyxy_px: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The boxes of several images, arrays [G_i, 4] and [G_i], as those of a batch, padded to the fullest image.

    Returns:
        boxes float32 [N, G, 4], zeros where padded, and labels int64 [N, G], -1 where padded; G is 1 at least.
    """
    most = max([1, *(len(boxes) for boxes in boxes_xyxy_px)])
    padded = np.zeros((len(boxes_xyxy_px), most, 4), np.float32)
    padded_labels = np.full((len(boxes_xyxy_px), most), -1, np.int64)
    for i, (boxes, class_ids) in enumerate(zip(boxes_xyxy_px, labels)):
        padded[i, : len(boxes)] = boxes
        padded_labels[i, : len(boxes)] = class_ids
    return padded, padded_labels
