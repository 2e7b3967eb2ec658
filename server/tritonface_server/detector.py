"""What has to be known about one detector to serve it. Which detectors there are, a model repository says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NmsSettings:
    """Non-maximum suppression as Paddle's `multiclass_nms3` does it.

    Attributes:
        score_threshold: boxes with a score <= this never take part.
        iou_threshold: a box overlapping a better one by more than this is suppressed.
        top_k: at most this many boxes, best first, take part.
        keep_top_k: at most this many boxes are returned.
    """

    score_threshold: float
    iou_threshold: float
    top_k: int
    keep_top_k: int


@dataclass(frozen=True)
class Detector:
    """The facts of a detector, as the folder it was exported to states them, see `tritonface_server.export_folder`.

    Attributes:
        input_size_wh: pixels the picture is stretched to before the network, (width, height).
        size_multiple: width and height of the network's input must be multiples of this.
        interpolation: how it is stretched, a name of `tritonface_server.images.INTERPOLATIONS`.
        labels: class names by class id.
        score_threshold: detections with a score <= this are dropped unless the caller says otherwise.
        scaled_decoding: whether large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where that still covers the
            network's input.
    """

    name: str
    input_size_wh: tuple[int, int]
    size_multiple: int
    interpolation: str
    nms: NmsSettings
    labels: tuple[str, ...] = ("face",)
    score_threshold: float = 0.5
    scaled_decoding: bool = True
